import { Client, credentials, Metadata } from '@grpc/grpc-js';
import type { MethodDefinition } from '@grpc/proto-loader';
import type { ImageServiceDefinition } from './gen/runtime/v1/ImageService.ts';
import type { RuntimeServiceDefinition } from './gen/runtime/v1/RuntimeService.ts';
import { imageService, runtimeService } from './proto.ts';
import { errorOf } from './status-code.ts';

/** Largest reply, in bytes: a list of many thousand containers. */
const MAX_REPLY = 64 * 1024 * 1024;

export interface CallOptions {
  /** Cancels the call. */
  signal?: AbortSignal;
  /** Deadline, counted from now. */
  timeoutMs?: number;
}

type StreamName = 'GetContainerEvents' | `Stream${string}`;
type Call<Method, Streams> =
  // The definition's four types: request and reply as sent, then as received.
  Method extends MethodDefinition<infer Request, infer _S, infer _R, infer Reply>
    ? (
        request: Request,
        options?: CallOptions,
      ) => Streams extends true ? AsyncIterable<Reply> : Promise<Reply>
    : never;
type Service<Definition> = {
  [Name in keyof Definition as string extends Name ? never : Name]: Call<
    Definition[Name],
    Name extends StreamName ? true : false
  >;
};

export interface CriClient {
  runtime: Service<RuntimeServiceDefinition>;
  images: Service<ImageServiceDefinition>;
  close(): void;
}

/**
 * A client of the CRI socket, for skiff's own commands and tests: the command line is a client of the
 * daemon's sockets and imports only this of cri/. Unary methods give promises, streaming ones async iterables
 * that end when their signal aborts. Errors are SkiffErrors with the code that the server answered.
 */
export function createClient(socketPath: string): CriClient {
  const client = new Client(`unix:${socketPath}`, credentials.createInsecure(), {
    'grpc.max_receive_message_length': MAX_REPLY,
    // As Go clients do; grpc-js would send the path, which Go servers refuse.
    'grpc.default_authority': 'localhost',
    'grpc.enable_http_proxy': 0,
    'grpc.service_config_disable_resolution': 1,
  });
  return {
    runtime: methods(client, runtimeService) as Service<RuntimeServiceDefinition>,
    images: methods(client, imageService) as Service<ImageServiceDefinition>,
    close: () => client.close(),
  };
}

type AnyMethod = MethodDefinition<object, object>;

function methods(client: Client, service: object): unknown {
  const entries = Object.entries(service as Record<string, AnyMethod>).map(([name, method]) => [
    name,
    (request: object, options: CallOptions = {}) =>
      method.responseStream
        ? stream(client, method, request, options)
        : unary(client, method, request, options),
  ]);
  return Object.fromEntries(entries);
}

function unary(client: Client, method: AnyMethod, request: object, options: CallOptions): Promise<object> {
  return new Promise((resolve, reject) => {
    const call = client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      new Metadata(),
      deadlineOf(options),
      (error, reply) => {
        options.signal?.removeEventListener('abort', cancel);
        if (error !== null) reject(errorOf(error));
        else resolve(reply ?? {});
      },
    );
    const cancel = (): void => call.cancel();
    options.signal?.addEventListener('abort', cancel, { once: true });
    if (options.signal?.aborted) cancel();
  });
}

async function* stream(
  client: Client,
  method: AnyMethod,
  request: object,
  options: CallOptions,
): AsyncGenerator<object> {
  const call = client.makeServerStreamRequest(
    method.path,
    method.requestSerialize,
    method.responseDeserialize,
    request,
    new Metadata(),
    deadlineOf(options),
  );
  const cancel = (): void => call.cancel();
  options.signal?.addEventListener('abort', cancel, { once: true });
  if (options.signal?.aborted) cancel();
  try {
    yield* call as AsyncIterable<object>;
  } catch (cause) {
    if (!options.signal?.aborted) throw errorOf(cause);
  } finally {
    options.signal?.removeEventListener('abort', cancel);
    call.cancel();
  }
}

function deadlineOf({ timeoutMs }: CallOptions): { deadline?: number } {
  return timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };
}
