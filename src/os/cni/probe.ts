import { SkiffError } from '../../base/errors.ts';
import type { CniNetworkList } from '../../oci/cni-spec.ts';
import type { PluginRunner } from './exec.ts';
import { negotiate, statusList } from './list.ts';

/** The kubelet asks every 5 s; an answer of a plugin serves that long. */
const FRESH_MS = 4000;

interface Question {
  networks: CniNetworkList[];
  /** Of the answer, in ms of the monotonic clock. */
  at: number;
  running: Promise<void> | undefined;
}

/**
 * Whether the plugins of the loaded networks are there and, from 1.1.0 on,
 * say by STATUS that they can serve. Plugins are asked in the background, so
 * that a plugin that hangs does not make a Status call hang.
 */
export class StatusProbe {
  readonly #runner: PluginRunner;
  #asked: Question | undefined;
  #problem: SkiffError | undefined;

  constructor(runner: PluginRunner) {
    this.#runner = runner;
  }

  /** What is wrong, as far as is known now; asks again where the last answer is old. */
  problem(networks: CniNetworkList[]): SkiffError | undefined {
    void this.refresh(networks);
    return this.#problem;
  }

  /** Settles when the plugins have answered, at once where they did so lately. */
  refresh(networks: CniNetworkList[]): Promise<void> {
    const asked = this.#asked;
    if (asked !== undefined && sameLists(asked.networks, networks)) {
      if (asked.running !== undefined) return asked.running;
      if (performance.now() - asked.at < FRESH_MS) return Promise.resolve();
    } else {
      this.#problem = new SkiffError('unavailable', 'the CNI plugins have not answered yet');
    }
    this.#asked = { networks, at: 0, running: undefined };
    this.#asked.running = this.#ask(this.#asked);
    return this.#asked.running;
  }

  async #ask(asked: Question): Promise<void> {
    const problem = await this.#check(asked.networks).then(
      () => undefined,
      (cause: unknown) => SkiffError.from(cause),
    );
    asked.running = undefined;
    asked.at = performance.now();
    if (this.#asked === asked) this.#problem = problem;
  }

  async #check(networks: CniNetworkList[]): Promise<void> {
    for (const list of networks) {
      for (const plugin of list.plugins) await this.#runner.find(plugin.type);
      await statusList(this.#runner, await negotiate(this.#runner, list));
    }
  }
}

function sameLists(a: CniNetworkList[], b: CniNetworkList[]): boolean {
  return a.length === b.length && a.every((list, i) => list === b[i]);
}
