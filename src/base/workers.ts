/** Where a worker thread's code is, by name: a file of the source tree, or a bundle beside the daemon's own. */
export const WORKER_SOURCES = {
  'state-writer': 'base/state-writer.ts',
  'layer-worker': 'image/layer/layer-worker.ts',
} as const;

export type WorkerName = keyof typeof WORKER_SOURCES;

/** The URL to give to `new Worker(...)`. */
export function workerUrl(name: WorkerName): URL {
  const here = import.meta.url;
  return here.endsWith('.ts') ? new URL(`../${WORKER_SOURCES[name]}`, here) : new URL(`./${name}.mjs`, here);
}
