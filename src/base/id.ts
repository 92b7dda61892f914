import { randomBytes } from 'node:crypto';

/** A fresh 64-digit hexadecimal id for a sandbox or container, the form that the peers use and crictl shortens. */
export function newId(): string {
  return randomBytes(32).toString('hex');
}
