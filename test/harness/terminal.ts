import { spawn } from 'node-pty';
import { until } from './until.ts';

/** A program on a terminal, and somebody who types and reads there. */
export class Terminal {
  readonly exited: Promise<number>;
  readonly #pty: ReturnType<typeof spawn>;
  #screen = '';

  constructor(program: string, args: string[], size = { width: 80, height: 24 }) {
    this.#pty = spawn(program, args, {
      name: 'xterm',
      cols: size.width,
      rows: size.height,
      env: process.env as Record<string, string>,
    });
    this.#pty.onData((text) => {
      this.#screen += text;
    });
    this.exited = new Promise((resolve) => this.#pty.onExit(({ exitCode }) => resolve(exitCode)));
  }

  /** All that the program has written so far. */
  get screen(): string {
    return this.#screen;
  }

  get pid(): number {
    return this.#pty.pid;
  }

  type(text: string): void {
    this.#pty.write(text);
  }

  resize(width: number, height: number): void {
    this.#pty.resize(width, height);
  }

  /** Waits until the screen shows `text`, and forgets what came up to there. */
  async shows(text: string | RegExp, timeoutMs = 15_000): Promise<void> {
    const end = () => {
      if (typeof text === 'string')
        return this.#screen.indexOf(text) + (this.#screen.includes(text) ? text.length : 0);
      const found = text.exec(this.#screen);
      return found === null ? -1 : found.index + found[0].length;
    };
    const at = await until(
      `the terminal shows ${text}`,
      () => (end() > 0 ? end() : undefined),
      timeoutMs,
    ).catch((cause: Error) => {
      throw new Error(`${cause.message}; it shows:\n${this.#screen}`);
    });
    this.#screen = this.#screen.slice(at);
  }

  /** As somebody who closes the window. */
  close(): void {
    this.#pty.kill('SIGKILL');
  }
}
