import { parentPort, workerData } from 'node:worker_threads';
import { makeThinLayer } from '../../os/thin-layer.ts';
import { blobBytes } from '../registry/blob.ts';
import { HttpClient } from '../registry/http.ts';
import type { FromWorker, LayerResult, LayerTask, ToWorker, UnpackTask, WorkerData } from './protocol.ts';
import { unpack } from './unpack.ts';
import { toWire } from './wire-error.ts';

/** How often the main thread hears of progress, in milliseconds. */
const REPORT_MS = 100;

const port = parentPort;
if (port === null) throw new Error('layer-worker.ts runs as a worker thread only');

const { busy } = workerData as WorkerData;
const running = new Map<number, AbortController>();
/** Connections are kept from one layer to the next of the same registry. */
let http: HttpClient | undefined;

port.on('message', (message: ToWorker) => {
  if (message.kind === 'abort') running.get(message.id)?.abort();
  else void start(message.id, message.task);
});

async function start(id: number, task: LayerTask): Promise<void> {
  const abort = new AbortController();
  running.set(id, abort);
  try {
    tell({ kind: 'done', id, result: await run(id, task, abort.signal) });
  } catch (cause) {
    tell({ kind: 'failed', id, error: toWire(cause) });
  } finally {
    running.delete(id);
  }
}

async function run(id: number, task: LayerTask, signal: AbortSignal): Promise<LayerResult> {
  if (task.kind === 'thin')
    return { kind: 'thin', needed: makeThinLayer({ layers: task.layers, directory: task.directory }) };
  const { source, diffId, directory, recipe, retry } = task;
  const bytes = (until: AbortSignal) => blobBytes(source, { retry }, { http: clientFor(task) }, until);
  const { digest, size } = source;
  const alone = () => Atomics.load(busy, 0) <= 1;
  const facts = await unpack(bytes, { digest, size, diffId, directory, recipe, alone }, signal, reporter(id));
  return { kind: 'unpack', facts };
}

function reporter(id: number): (count: number) => void {
  let received = 0;
  let told = 0;
  return (count) => {
    received += count;
    const now = performance.now();
    if (now - told < REPORT_MS) return;
    told = now;
    tell({ kind: 'bytes', id, received });
  };
}

function clientFor({ stallTimeoutMs }: UnpackTask): HttpClient {
  // A client that is replaced closes its idle connections itself after a few seconds.
  if (http?.stallTimeoutMs !== stallTimeoutMs) http = new HttpClient({ stallTimeoutMs });
  return http;
}

function tell(message: FromWorker): void {
  port?.postMessage(message);
}
