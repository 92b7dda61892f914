import { SkiffError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { Operation } from '../base/operation.ts';
import { currentSpan } from '../base/span.ts';

/** The operations that run now, so that a stuck pod says where it is stuck. */
export class Operations {
  readonly #running = new Set<Operation>();
  readonly #log: Log;

  constructor(deps: { log: Log }) {
    this.#log = deps.log;
  }

  /**
   * Runs `work` as the operation `name` on `subject`. When `work` fails, what
   * its steps made is undone before the error is passed on; `undone` then gets
   * the errors of the undos that failed.
   */
  async run<T>(
    name: string,
    subject: string,
    work: (op: Operation) => Promise<T>,
    undone: (failures: SkiffError[]) => Promise<unknown> = async () => undefined,
  ): Promise<T> {
    const op = new Operation(name, subject, this.#log);
    this.#running.add(op);
    try {
      const result = await work(op);
      op.commit();
      this.#log.debug({ op: name, subject, ms: op.timings() }, 'done');
      trace(op);
      return result;
    } catch (cause) {
      this.#log.debug({ op: name, subject, ms: op.timings(), err: cause }, 'failed');
      trace(op, SkiffError.from(cause));
      await undone(await op.rollback()).catch((err) =>
        this.#log.error({ op: name, subject, err }, 'what was undone could not be noted'),
      );
      throw cause;
    } finally {
      this.#running.delete(op);
    }
  }

  /** What runs now, oldest first; ages in milliseconds. */
  list(): { name: string; subject: string; ageMs: number; steps: string[] }[] {
    const now = performance.now();
    return [...this.#running].map((op) => ({
      name: op.name,
      subject: op.subject,
      ageMs: Math.round(now - op.startedAt),
      steps: op.current.map((step) => step.name),
    }));
  }
}

/** The operation and its steps as parts of the call that it was done for. */
function trace({ name, subject, startedAt, steps }: Operation, error?: SkiffError): void {
  const endedAt = performance.now();
  currentSpan()?.add({ name, subject: { subject }, startedAt, endedAt, error, parts: steps });
}
