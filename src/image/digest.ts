import { createHash, type Hash } from 'node:crypto';
import { SkiffError } from '../base/errors.ts';

/** Algorithms of the OCI image spec (descriptor.md, registered algorithms) with the length of their hexadecimal form. */
const ALGORITHMS: Record<string, number> = { sha256: 64, sha384: 96, sha512: 128 };

/** True for `sha256:<64 lower-case hex digits>` and the longer registered algorithms. */
export function isDigest(text: string): boolean {
  const colon = text.indexOf(':');
  const length = ALGORITHMS[text.slice(0, colon)];
  const hex = text.slice(colon + 1);
  return colon > 0 && hex.length === length && /^[0-9a-f]+$/.test(hex);
}

/** `sha256:..` of `data`. */
export function digestOf(data: string | Uint8Array): string {
  return `sha256:${createHash('sha256').update(data).digest('hex')}`;
}

/** The hexadecimal part of a digest: the name of its file in the blob store. */
export function hexOf(digest: string): string {
  return digest.slice(digest.indexOf(':') + 1);
}

/** A running hash of the algorithm that `digest` names. */
export function hashFor(digest: string): Hash {
  return createHash(digest.slice(0, digest.indexOf(':')));
}

/** Throws `data_loss` with both digests where `data` is not what `digest` promises. */
export function verifyBytes(data: Uint8Array, digest: string, what: string): void {
  const got = `${digest.slice(0, digest.indexOf(':'))}:${hashFor(digest).update(data).digest('hex')}`;
  if (got !== digest) throw digestMismatch(what, digest, got);
}

/** The error of content that is not what its digest promises. */
export function digestMismatch(what: string, expected: string, got: string): SkiffError {
  return new SkiffError(
    'data_loss',
    `verify ${what}: content has digest ${got}, expected ${expected}; the registry or a proxy before it holds damaged data`,
  );
}
