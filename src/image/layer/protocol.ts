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

/** A packed layer that lies on this host: in a file of its own, or within an archive. */
export interface FileSource {
  file: string;
  /** Where in the file it begins, in bytes. */
  offset: number;
  digest: string;
  size: number;
}

/** Fetch a packed layer and unpack it into `directory`, which is empty. */
export interface UnpackTask {
  kind: 'unpack';
  source: BlobSource | FileSource;
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

/** Compare a layer on disk with its diff id. */
export interface VerifyTask {
  kind: 'verify';
  diffId: string;
  directory: string;
  recipe: string;
}

export const PACKINGS = ['gzip', 'zstd', 'none'] as const;
export type Packing = (typeof PACKINGS)[number];

/** Pack a layer again, into a new file. */
export interface PackTask {
  kind: 'pack';
  diffId: string;
  directory: string;
  recipe: string;
  packing: Packing;
  file: string;
}

export type LayerTask = UnpackTask | ThinTask | VerifyTask | PackTask;

export type LayerResult =
  | { kind: 'unpack'; facts: LayerFacts }
  /** Whether there was something to put into the directory. */
  | { kind: 'thin'; needed: boolean }
  /** Null: nothing is wrong. */
  | { kind: 'verify'; problem: string | null }
  /** Digest and bytes of the packed layer. */
  | { kind: 'pack'; digest: string; size: number };

export type ToWorker = { kind: 'start'; id: number; task: LayerTask } | { kind: 'abort'; id: number };

export type FromWorker =
  | { kind: 'bytes'; id: number; received: number }
  | { kind: 'done'; id: number; result: LayerResult }
  | { kind: 'failed'; id: number; error: WireError };
