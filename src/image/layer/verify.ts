import { SkiffError } from '../../base/errors.ts';
import { digestMismatch, hashFor } from '../digest.ts';

export interface Expected {
  digest: string;
  /** Bytes; null = not known beforehand. */
  size: number | null;
  /** For messages: `layer sha256:..`. */
  what: string;
}

/**
 * Passes `source` on and ends in an error unless it was exactly what `expected`
 * promises. Whoever reads to the end has verified content: the check cannot be
 * forgotten, because the stream is the check.
 */
export async function* verified(
  source: AsyncIterable<Uint8Array>,
  expected: Expected,
  onBytes: (count: number) => void = () => undefined,
): AsyncGenerator<Uint8Array> {
  const hash = hashFor(expected.digest);
  let received = 0;
  for await (const chunk of source) {
    received += chunk.byteLength;
    if (expected.size !== null && received > expected.size)
      throw wrongSize(expected, `more than ${received - 1}`);
    hash.update(chunk);
    onBytes(chunk.byteLength);
    yield chunk;
  }
  if (expected.size !== null && received < expected.size) throw wrongSize(expected, String(received));
  const algorithm = expected.digest.slice(0, expected.digest.indexOf(':'));
  const got = `${algorithm}:${hash.digest('hex')}`;
  if (got !== expected.digest) throw digestMismatch(expected.what, expected.digest, got);
}

function wrongSize(expected: Expected, got: string): SkiffError {
  return new SkiffError(
    'data_loss',
    `verify ${expected.what}: content has ${got} bytes, its manifest says ${expected.size}`,
  );
}
