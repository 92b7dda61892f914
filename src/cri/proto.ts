import { fromJSON, type MessageTypeDefinition } from '@grpc/proto-loader';
import descriptor from './gen/api.json' with { type: 'json' };
import type { ProtoGrpcType } from './gen/api.ts';
import type { ImageServiceDefinition } from './gen/runtime/v1/ImageService.ts';
import type { RuntimeServiceDefinition } from './gen/runtime/v1/RuntimeService.ts';

type Messages = ProtoGrpcType['runtime']['v1'];
type MessageName = {
  [K in keyof Messages]: Messages[K] extends MessageTypeDefinition<infer _I, infer _O> ? K : never;
}[keyof Messages];

/**
 * How messages look in TypeScript, the same as scripts/proto.ts generates the types with: names as in the
 * proto, 64-bit numbers as decimal strings, enums by name, absent messages as null.
 */
const definition = fromJSON(descriptor as unknown as Parameters<typeof fromJSON>[0], {
  keepCase: true,
  longs: String,
  enums: String,
  defaults: true,
  oneofs: true,
});

export const runtimeService = definition['runtime.v1.RuntimeService'] as unknown as RuntimeServiceDefinition;
export const imageService = definition['runtime.v1.ImageService'] as unknown as ImageServiceDefinition;

/** Encoder and decoder of one message by its name in package runtime.v1. */
export function message<N extends MessageName>(name: N): Messages[N] {
  return definition[`runtime.v1.${name}`] as unknown as Messages[N];
}
