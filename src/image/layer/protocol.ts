import type { LayerFacts } from '../../os/layer-writer.ts';
import type { BlobSource } from '../registry/blob.ts';
import type { RetryOptions } from '../registry/retry.ts';
import type { LayerRow } from '../types.ts';
import type { WireError } from './wire-error.ts';

/** Messages between the main thread and the workers that make layers. */

/** What every worker is given. */
export interface WorkerData {
  /** One shared number: the tasks that run in all workers together. */
  busy: Int32Array;
}

/** Fetch a packed layer and unpack it into `directory`, which is empty. */
export interface UnpackTask {
  kind: 'unpack';
  source: BlobSource;
  diffId: string;
  directory: string;
  recipe: string;
  retry: RetryOptions;
  stallTimeoutMs: number;
}

/** Make the thin directory of a chain, where it needs one. */
export interface ThinTask {
  kind: 'thin';
  /** Top first, directories absolute. */
  layers: (Pick<LayerRow, 'implicitDirs'> & { directory: string })[];
  directory: string;
}

export type LayerTask = UnpackTask | ThinTask;

/** Of a thin task: whether there was something to put into the directory. */
export type LayerResult = { kind: 'unpack'; facts: LayerFacts } | { kind: 'thin'; needed: boolean };

export type ToWorker = { kind: 'start'; id: number; task: LayerTask } | { kind: 'abort'; id: number };

export type FromWorker =
  | { kind: 'bytes'; id: number; received: number }
  | { kind: 'done'; id: number; result: LayerResult }
  | { kind: 'failed'; id: number; error: WireError };
