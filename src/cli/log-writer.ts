import type { LogEntry } from './container-log.ts';

/** Writes log entries to stdout and stderr as the container wrote them, with times where asked for. */
export class LogWriter {
  readonly #timestamps: boolean;
  /** Streams in the middle of a line. */
  readonly #open = new Set<string>();

  constructor(options: { timestamps: boolean }) {
    this.#timestamps = options.timestamps;
  }

  write(entry: LogEntry): void {
    const target = entry.stream === 'stdout' ? process.stdout : process.stderr;
    target.write(this.render(entry));
  }

  render(entry: LogEntry): Buffer {
    const head = this.#timestamps && !this.#open.has(entry.stream) ? `${entry.time} ` : '';
    if (entry.partial) this.#open.add(entry.stream);
    else this.#open.delete(entry.stream);
    return Buffer.concat([Buffer.from(head), entry.message, Buffer.from(entry.partial ? '' : '\n')]);
  }
}
