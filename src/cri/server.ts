import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { dirname } from 'node:path';
import {
  type MethodDefinition,
  Server,
  ServerCredentials,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { SkiffError } from '../base/errors.ts';
import { makeDirectory } from '../base/files.ts';
import type { Log } from '../base/log.ts';
import type { Follow } from '../base/span.ts';
import { listenPrivate } from '../base/unix-socket.ts';
import { within } from '../base/wait.ts';
import type { ImageApi, RuntimeApi } from '../service/api.ts';
import type { StreamUrls } from '../service/streaming.ts';
import { type CallRecord, Calls } from './call.ts';
import { containerHandlers } from './container-handlers.ts';
import { imageHandlers } from './image-handlers.ts';
import { dropLongDeadlines } from './long-deadline.ts';
import { imageService, runtimeService } from './proto.ts';
import { runtimeHandlers } from './runtime-handlers.ts';
import { sandboxHandlers } from './sandbox-handlers.ts';
import { streamingHandlers } from './streaming-handlers.ts';

/** Largest request, in bytes: what a kubelet allows for a reply. */
const MAX_REQUEST = 16 * 1024 * 1024;

/** Milliseconds for the answers of calls that were aborted to leave. */
const LAST_ANSWERS_MS = 200;

export interface CriServerOptions {
  /** Path of the unix socket. */
  socket: string;
  /** Milliseconds that calls under way get to end when the server stops. */
  stopTimeoutMs?: number;
}

export interface CriServerDeps {
  runtime: RuntimeApi;
  images: ImageApi;
  /** Where clients of Exec, Attach and PortForward are sent. */
  streams: StreamUrls;
  log: Log;
  /** Told of every call that has ended. */
  onCall?: (record: CallRecord) => void;
  /** Where calls are traced. */
  follow?: Follow;
}

type Method = MethodDefinition<object, object>;
type Service = Record<string, Method>;

/**
 * The CRI: RuntimeService and ImageService of runtime.v1 over gRPC on a unix socket that only root reaches.
 * A method that is not served yet answers UNIMPLEMENTED with its name, which a kubelet takes as "do without".
 */
export class CriServer {
  readonly #options: CriServerOptions;
  readonly #log: Log;
  readonly #calls: Calls;
  readonly #sockets = new Set<Socket>();
  readonly #listener = createServer((socket) => this.#accept(socket));
  readonly #grpc: Server;
  #undo = (): void => {};
  readonly #injector: ReturnType<Server['createConnectionInjector']>;

  constructor(options: CriServerOptions, deps: CriServerDeps) {
    this.#options = options;
    this.#log = deps.log;
    this.#calls = new Calls({ log: deps.log, onCall: deps.onCall, follow: deps.follow });
    this.#grpc = new Server({ 'grpc.max_receive_message_length': MAX_REQUEST, 'grpc.enable_channelz': 0 });
    this.#serve(listsAsBytes(runtimeService as unknown as Service), {
      ...runtimeHandlers(deps.runtime, this.#calls),
      ...sandboxHandlers(deps.runtime, this.#calls),
      ...containerHandlers(deps.runtime, this.#calls),
      ...streamingHandlers(deps.streams, this.#calls),
    });
    this.#serve(listsAsBytes(imageService as unknown as Service), imageHandlers(deps.images, this.#calls));
    this.#injector = this.#grpc.createConnectionInjector(ServerCredentials.createInsecure());
  }

  /** Calls under way. */
  get running(): number {
    return this.#calls.size;
  }

  /** Listens. Rejects with `failed_precondition` where another daemon serves the socket. */
  async start(): Promise<void> {
    await makeDirectory(dirname(this.#options.socket));
    await listenPrivate(this.#listener, this.#options.socket);
    this.#undo = dropLongDeadlines();
    this.#log.info({ socket: this.#options.socket }, 'CRI is served');
  }

  /**
   * Takes no more calls, ends the streams, lets the other calls end within the stop timeout, then aborts
   * what is left and closes every connection.
   */
  async stop(): Promise<void> {
    const reason = new SkiffError('unavailable', 'serve CRI: skiff is stopping; ask again when it is back');
    const closed = Promise.withResolvers<void>();
    if (this.#listener.listening) this.#listener.close(() => closed.resolve());
    else closed.resolve();
    this.#calls.abort(reason, 'streams');
    // Every connection is told to start no more calls, and closes after its last answer. The callback does
    // not wait for that: Node closes the sessions itself before grpc-js can listen for their end.
    this.#grpc.tryShutdown(() => {});
    await this.#connectionsClosed(this.#options.stopTimeoutMs ?? 5000);
    this.#calls.abort(reason, 'all');
    await this.#connectionsClosed(LAST_ANSWERS_MS);
    this.#grpc.forceShutdown();
    for (const socket of this.#sockets) socket.destroy();
    this.#undo();
    await closed.promise;
  }

  async #connectionsClosed(ms: number): Promise<void> {
    const closing = [...this.#sockets].map((socket) => once(socket, 'close').catch(() => {}));
    await within(Promise.all(closing), ms, new AbortController().signal);
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    socket.on('error', (err) => this.#log.debug({ err }, 'CRI connection broke'));
    this.#injector.injectConnection(socket);
  }

  /** Serves `handlers`, and for each other method of the service the answer that it is not implemented. */
  #serve(service: Service, handlers: UntypedServiceImplementation): void {
    const missing = Object.keys(service).filter((name) => !(name in handlers));
    const refusals = missing.map((name) => [name, this.#refusal(name, service[name]!.responseStream)]);
    this.#grpc.addService(service, { ...handlers, ...Object.fromEntries(refusals) });
  }

  #refusal(name: string, streaming: boolean) {
    const refuse = (): never => {
      throw new SkiffError('unimplemented', `${name}: not implemented by this version of skiff`);
    };
    return streaming ? this.#calls.serverStream(name, refuse) : this.#calls.unary(name, refuse);
  }
}

/** Methods whose handlers answer bytes that are ready to send. */
const ANSWER_BYTES = [
  'ListContainers',
  'ListPodSandbox',
  'StreamContainers',
  'StreamContainerStats',
  'StreamPodSandboxes',
  'StreamPodSandboxStats',
  'StreamImages',
];

/** The service with its long lists left as the bytes that their handlers give: see `EncodedList`. */
function listsAsBytes(service: Service): Service {
  const asBytes = (method: Method): Method => ({ ...method, responseSerialize: (bytes) => bytes as Buffer });
  return Object.fromEntries(
    Object.entries(service).map(([name, method]) => [
      name,
      ANSWER_BYTES.includes(name) ? asBytes(method) : method,
    ]),
  );
}
