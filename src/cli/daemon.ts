import { join } from 'node:path';
import { readFileIfThere } from '../base/files.ts';
import type { CriClient } from '../cri/client.ts';
import { OpsClient, probe } from './ops-client.ts';

const DEFAULT_STATE = '/run/skiff';

/** Options of every command that talks to the daemon. */
export interface DaemonOptions {
  /** Directory of the sockets; '' = as configured. */
  state: string;
  /** Configuration file; '' = the default one. */
  config: string;
}

/** Where the daemon of these options listens, and clients of it. */
export class Daemon {
  readonly #state: string;

  private constructor(state: string) {
    this.#state = state;
  }

  /** --state, then $SKIFF_STATE, then `state` of the configuration file, then the default. */
  static async locate(options: DaemonOptions): Promise<Daemon> {
    if (options.state !== '') return new Daemon(options.state);
    const environment = process.env.SKIFF_STATE ?? '';
    return new Daemon(environment !== '' ? environment : await configuredState(options.config));
  }

  get criSocket(): string {
    return join(this.#state, 'skiff.sock');
  }

  get opsSocket(): string {
    return join(this.#state, 'ops.sock');
  }

  ops(): OpsClient {
    return new OpsClient({ socketPath: this.opsSocket });
  }

  /** Runs `work` with a connection to the CRI socket and closes it. */
  async withCri<T>(work: (cri: CriClient) => Promise<T>): Promise<T> {
    // gRPC tries for long and then says little of why there is no connection.
    await probe(this.criSocket);
    const { createClient } = await import('../cri/client.ts');
    const cri = createClient(this.criSocket);
    try {
      return await work(cri);
    } finally {
      cri.close();
    }
  }
}

/**
 * `state` of the file and its drop-ins. A file that is wrong elsewhere must not
 * keep a client from a daemon that runs, so nothing is validated here.
 */
async function configuredState(file: string): Promise<string> {
  const [{ configFiles, configSource }, { parse }] = await Promise.all([
    import('../config/load.ts'),
    import('smol-toml'),
  ]);
  let state = DEFAULT_STATE;
  for (const path of await configFiles(configSource(file === '' ? undefined : file))) {
    try {
      const value = parse((await readFileIfThere(path)) ?? '').state;
      if (typeof value === 'string') state = value;
    } catch {
      // `skiff config check` says what is wrong with it.
    }
  }
  return state;
}
