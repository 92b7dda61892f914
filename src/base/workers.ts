/** Where a worker thread's code is, by name: a file of the source tree, or a bundle beside the daemon's own. */
const SOURCES = {
  'state-writer': 'base/state-writer.ts',
  'layer-worker': 'image/layer/layer-worker.ts',
} as const;

export type WorkerName = keyof typeof SOURCES;

/** The URL to give to `new Worker(...)`. */
export function workerUrl(name: WorkerName): URL {
  const here = import.meta.url;
  return here.endsWith('.ts') ? new URL(`../${SOURCES[name]}`, here) : new URL(`./${name}.mjs`, here);
}
