import { SkiffError } from './errors.ts';
import type { Log } from './log.ts';

/** One finished or running step of an operation; times in milliseconds of the monotonic clock. */
export interface StepTime {
  name: string;
  startedAt: number;
  endedAt: number | null;
}

type Undo = { name: string; run: () => Promise<unknown> | unknown };

/**
 * A list of named, timed steps, each with its undo registered the moment the
 * step has succeeded. On failure `rollback` runs the undos in reverse; it does
 * not stop at an undo that fails, it collects what failed.
 *
 * The step that runs now can be read from outside (`current`), so a stuck pod
 * says where it is stuck.
 */
export class Operation {
  readonly name: string;
  readonly subject: string;
  readonly steps: StepTime[] = [];
  readonly startedAt = performance.now();
  readonly #log: Log;
  readonly #undos: Undo[] = [];

  /** `subject` is what the operation is about, such as a sandbox id. */
  constructor(name: string, subject: string, log: Log) {
    this.name = name;
    this.subject = subject;
    this.#log = log;
  }

  /** Steps that have not ended, oldest first. */
  get current(): StepTime[] {
    return this.steps.filter((step) => step.endedAt === null);
  }

  /**
   * Runs `work`; when it succeeds, `undo` is owed until `commit`. An error gets
   * the step's name in front and keeps its code. A step that fails half-way
   * leaves nothing behind by itself: `undo` is not called for it.
   */
  async step<T>(
    name: string,
    work: () => Promise<T> | T,
    undo?: (made: T) => Promise<unknown> | unknown,
  ): Promise<T> {
    const time: StepTime = { name, startedAt: performance.now(), endedAt: null };
    this.steps.push(time);
    try {
      const made = await work();
      if (undo !== undefined) this.#undos.push({ name, run: () => undo(made) });
      return made;
    } catch (cause) {
      throw SkiffError.from(cause, name);
    } finally {
      time.endedAt = performance.now();
    }
  }

  /** Registers an undo for something that was acquired outside `step`. */
  owe(name: string, run: () => Promise<unknown> | unknown): void {
    this.#undos.push({ name, run });
  }

  /** The operation succeeded: what it made stays. */
  commit(): void {
    this.#undos.length = 0;
  }

  /** Undoes all that was made, newest first; the errors of undos that failed. */
  async rollback(): Promise<SkiffError[]> {
    const failures: SkiffError[] = [];
    for (let undo = this.#undos.pop(); undo !== undefined; undo = this.#undos.pop()) {
      try {
        await undo.run();
      } catch (cause) {
        const error = SkiffError.from(cause, `undo ${undo.name}`);
        this.#log.error({ op: this.name, subject: this.subject, err: error }, 'undo failed');
        failures.push(error);
      }
    }
    return failures;
  }

  /** `{ "cni add": 31.2, ... }`: milliseconds by step, for the log and the journal. */
  timings(): Record<string, number> {
    const now = performance.now();
    return Object.fromEntries(
      this.steps.map((s) => [s.name, Math.round(((s.endedAt ?? now) - s.startedAt) * 100) / 100]),
    );
  }
}
