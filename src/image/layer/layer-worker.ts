import { createReadStream } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import type { LayerFacts } from '../../os/layer-writer.ts';
import { makeThinLayer } from '../../os/thin-layer.ts';
import { blobBytes } from '../registry/blob.ts';
import { HttpClient } from '../registry/http.ts';
import { packLayer, verifyLayer } from './pack.ts';
import type {
  FileSource,
  FromWorker,
  LayerResult,
  LayerTask,
  ToWorker,
  UnpackTask,
  WorkerData,
} from './protocol.ts';
import { unpack } from './unpack.ts';
import { toWire } from './wire-error.ts';

/** How often the main thread hears of progress, in milliseconds. */
const REPORT_MS = 100;

const FILE_CHUNK = 256 << 10;

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
  switch (task.kind) {
    case 'unpack':
      return { kind: 'unpack', facts: await unpackTask(id, task, signal) };
    case 'thin':
      return { kind: 'thin', needed: makeThinLayer(task) };
    case 'verify':
      return { kind: 'verify', problem: await verifyLayer(task, signal) };
    case 'pack':
      return { kind: 'pack', ...(await packLayer(task, signal)) };
  }
}

function unpackTask(id: number, task: UnpackTask, signal: AbortSignal): Promise<LayerFacts> {
  const { source, diffId, directory, recipe, retry } = task;
  const bytes = (until: AbortSignal) =>
    'file' in source ? fileBytes(source) : blobBytes(source, { retry }, { http: clientFor(task) }, until);
  const { digest, size } = source;
  const alone = () => Atomics.load(busy, 0) <= 1;
  return unpack(bytes, { digest, size, diffId, directory, recipe, alone }, signal, reporter(id));
}

/** A part of a file, as the bytes of a registry would come. */
async function* fileBytes({ file, offset, size }: FileSource): AsyncGenerator<Uint8Array> {
  if (size === 0) return;
  yield* createReadStream(file, { start: offset, end: offset + size - 1, highWaterMark: FILE_CHUNK });
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
