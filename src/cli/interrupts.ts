const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Ctrl-C and its like, counted, so that each press can mean more than the one before. */
export class Interrupts {
  readonly #presses = [new AbortController(), new AbortController(), new AbortController()];
  #count = 0;
  /** What a shell reports of a process that the last of them ended; 0 while there was none. */
  exitCode = 0;

  constructor() {
    for (const name of SIGNALS) process.on(name, this.#heard);
  }

  get first(): AbortSignal {
    return this.#presses[0]!.signal;
  }

  get second(): AbortSignal {
    return this.#presses[1]!.signal;
  }

  get third(): AbortSignal {
    return this.#presses[2]!.signal;
  }

  /** The signals mean again what they mean by default. */
  stop(): void {
    for (const name of SIGNALS) process.off(name, this.#heard);
  }

  readonly #heard = (_name: NodeJS.Signals, number: number): void => {
    this.exitCode = 128 + number;
    this.#presses[this.#count]?.abort();
    this.#count++;
  };
}
