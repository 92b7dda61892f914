import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  Metadata,
  type ServerUnaryCall,
  type ServerWritableStream,
} from '@grpc/grpc-js';
import { type ErrorCode, SkiffError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { type Follow, inSpan, type Span } from '../base/span.ts';
import type { CallContext } from '../service/api.ts';
import { statusOf } from './status-code.ts';

/** What is counted of each call. */
export interface CallRecord {
  method: string;
  code: ErrorCode | 'ok';
  ms: number;
}

export interface CallsDeps {
  log: Log;
  onCall?: (record: CallRecord) => void;
  /** Where calls are traced. */
  follow?: Follow;
}

/** Calls that ask and change nothing: a kubelet makes several of them every second. */
const POLLS = /^(List|Stream|Get|Version$|RuntimeConfig$|ExecSync$|ImageFsInfo$)|(Status|Stats)$/;

/** Failures that are ours rather than the caller's. */
const OUR_FAULT: readonly (ErrorCode | 'ok')[] = ['internal', 'unknown', 'data_loss'];

/**
 * An answer cannot reach its caller in less time than this, in milliseconds: a call whose deadline is nearer
 * is answered as late, so that a deadline of 1 ms always gives the same result.
 */
const ANSWER_MS = 1;

type GrpcCall = ServerUnaryCall<object, object> | ServerWritableStream<object, object>;

/** One call under way. */
interface Running {
  id: number;
  method: string;
  subject: Record<string, string>;
  startedAt: number;
  streaming: boolean;
  controller: AbortController;
  deadline: number;
  span: Span | undefined;
}

/**
 * The envelope around every RPC: an id, one log line with duration and code, deadline and cancellation as an
 * AbortSignal, errors as status codes, and a record for counters.
 */
export class Calls {
  readonly #deps: CallsDeps;
  readonly #running = new Set<Running>();
  #nextId = 1;

  constructor(deps: CallsDeps) {
    this.#deps = deps;
  }

  /** Calls under way. */
  get size(): number {
    return this.#running.size;
  }

  /** The handler of a unary method that answers what `work` returns. */
  unary<Request extends object, Reply extends object>(
    method: string,
    work: (context: CallContext, request: Request) => Promise<Reply> | Reply,
  ): handleUnaryCall<Request, Reply> {
    return (call, respond) => {
      const running = this.#begin(method, call, false);
      const { signal } = running.controller;
      const ended = inSpan(running.span, async () => work({ signal }, call.request));
      void this.#settle(running, ended).then((outcome) => {
        if (outcome instanceof SkiffError) respond(statusOf(outcome));
        else respond(null, outcome);
      });
    };
  }

  /** The handler of a server-streaming method that sends what `work` yields; its end is the stream's. */
  serverStream<Request extends object, Item extends object>(
    method: string,
    work: (context: CallContext, request: Request) => AsyncIterable<Item>,
  ): handleServerStreamingCall<Request, Item> {
    return (call) => {
      const running = this.#begin(method, call, true);
      const { signal } = running.controller;
      const ended = inSpan(running.span, () => pump(call, () => work({ signal }, call.request), signal));
      void this.#settle(running, ended).then((outcome) => {
        if (outcome instanceof SkiffError) call.emit('error', statusOf(outcome));
        else call.end();
      });
    };
  }

  /** Ends calls under way with `reason`: the streams, which have no end of their own, or all of them. */
  abort(reason: SkiffError, which: 'streams' | 'all'): void {
    for (const running of this.#running)
      if (running.streaming || which === 'all') running.controller.abort(reason);
  }

  #begin(method: string, call: GrpcCall, streaming: boolean): Running {
    const controller = new AbortController();
    const deadline = Number(call.getDeadline());
    const running: Running = {
      id: this.#nextId++,
      method,
      subject: subjectOf(call.request),
      startedAt: performance.now(),
      streaming,
      controller,
      deadline,
      span: this.#deps.follow?.(call.getPath(), (name) => call.metadata.get(name)[0]?.toString()),
    };
    this.#running.add(running);
    // grpc-js tells both in one event, and answers the deadline itself.
    call.on('cancelled', () => {
      const late = Date.now() + ANSWER_MS >= deadline;
      controller.abort(
        late
          ? new DOMException(`the deadline of ${method} passed`, 'TimeoutError')
          : new DOMException(`the caller of ${method} went away`, 'AbortError'),
      );
    });
    return running;
  }

  /** How the call ended: by its work, or by its signal where that came first. */
  async #settle<T>(running: Running, ended: Promise<T>): Promise<T | SkiffError> {
    const { signal } = running.controller;
    const aborted = Promise.withResolvers<never>();
    const abort = (): void => aborted.reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    let outcome: T | SkiffError;
    try {
      outcome = await Promise.race([ended, aborted.promise]);
      if (Date.now() + ANSWER_MS >= running.deadline)
        outcome = new SkiffError('deadline_exceeded', `${running.method}: ended after its deadline`);
    } catch (cause) {
      outcome = SkiffError.from(cause);
      if (signal.aborted) this.#watchLateEnd(running, ended);
    }
    signal.removeEventListener('abort', abort);
    this.#running.delete(running);
    this.#tell(running, outcome);
    return outcome;
  }

  /** Work whose caller is gone may still fail for a reason of its own, which nobody else would see. */
  #watchLateEnd(running: Running, ended: Promise<unknown>): void {
    const { id, method, subject } = running;
    ended.catch((cause: unknown) => {
      const error = SkiffError.from(cause);
      if (
        error.code === 'canceled' ||
        error.code === 'deadline_exceeded' ||
        cause === running.controller.signal.reason
      )
        return;
      this.#deps.log.warn(
        { call: id, method, ...subject, error: error.message },
        'failed after its caller had gone',
      );
    });
  }

  #tell(running: Running, outcome: unknown): void {
    const { id, method, subject, startedAt } = running;
    const error = outcome instanceof SkiffError ? outcome : undefined;
    const code = error?.code ?? 'ok';
    const endedAt = performance.now();
    const ms = Math.round((endedAt - startedAt) * 100) / 100;
    const facts = { call: id, method, ...subject, code, ms };
    if (error === undefined) this.#deps.log[POLLS.test(method) ? 'debug' : 'info'](facts, 'call');
    else if (OUR_FAULT.includes(code)) this.#deps.log.error({ ...facts, err: error }, 'call failed');
    else if (code === 'canceled' && POLLS.test(method)) this.#deps.log.debug(facts, 'call canceled');
    else this.#deps.log.warn({ ...facts, error: error.message }, 'call failed');
    this.#deps.onCall?.({ method, code, ms });
    running.span?.end({ name: method, startedAt, endedAt, subject, error });
  }
}

/** Sends what the work yields, at the pace of the reader, until it ends or `signal` aborts. */
async function pump<Item>(
  call: ServerWritableStream<object, Item>,
  work: () => AsyncIterable<Item>,
  signal: AbortSignal,
): Promise<void> {
  const iterator = work()[Symbol.asyncIterator]();
  const gone = Promise.withResolvers<never>();
  const leave = (): void => gone.reject(signal.reason);
  signal.addEventListener('abort', leave, { once: true });
  try {
    let next = iterator.next();
    // Headers go out once the source is being read: a client that has them misses nothing from there on.
    call.sendMetadata(new Metadata());
    for (;;) {
      const item = await Promise.race([next, gone.promise]);
      if (item.done) return;
      if (!call.write(item.value)) await Promise.race([drained(call), gone.promise]);
      next = iterator.next();
    }
  } finally {
    signal.removeEventListener('abort', leave);
    // Not awaited: a source that hangs in its last read must not keep the call.
    void iterator.return?.().catch(() => {});
  }
}

function drained(call: ServerWritableStream<object, unknown>): Promise<void> {
  return new Promise((resolve) => call.once('drain', resolve));
}

/** The ids in a request that say what it is about. Nothing else of a request is logged: it may hold secrets. */
function subjectOf(request: object): Record<string, string> {
  const { pod_sandbox_id: pod, container_id: container, image } = request as Record<string, unknown>;
  const name = typeof image === 'object' && image !== null && 'image' in image ? image.image : undefined;
  return Object.fromEntries(
    Object.entries({ pod, container, image: name }).filter(
      (entry): entry is [string, string] => typeof entry[1] === 'string' && entry[1] !== '',
    ),
  );
}
