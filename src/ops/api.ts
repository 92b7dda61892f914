import type { JournalQuery, JournalRow } from '../base/state-protocol.ts';
import type { ConfigReload } from '../config/reload.ts';
import type { ImageApi, ImageStoreApi, RuntimeApi } from '../service/api.ts';

/** One operation that runs now; ages in milliseconds. */
export interface OperationView {
  /** Such as `RunPodSandbox`. */
  name: string;
  /** What it is about: an id or an image reference. */
  subject: string;
  ageMs: number;
  /** The steps that are under way. */
  steps: string[];
}

/** What ops/ needs of the daemon. Functions reject with a SkiffError. */
export interface OpsApi {
  runtime: Pick<RuntimeApi, 'version' | 'status'>;
  images: Pick<ImageApi, 'pullImage'>;
  imageStore: ImageStoreApi;
  /** The configuration in force, keys as in the file. */
  config(): Record<string, unknown>;
  reloadConfig(): Promise<ConfigReload>;
  /** Oldest first. */
  journal(query: JournalQuery): Promise<JournalRow[]>;
  /** Calls `listener` for every new entry, until the returned function is called. */
  onJournal(listener: (row: JournalRow) => void): () => void;
  operations(): OperationView[];
  /** In the text format that Prometheus scrapes. */
  metrics(): string;
}
