import type { SandboxFilter } from '../service/api.ts';
import type { SandboxRow } from './types.ts';

/** True where `row` is to be listed under `filter`: id or a prefix of it, state, and all of the labels. */
export function matchesSandbox(row: SandboxRow, filter: SandboxFilter): boolean {
  if (row.state === 'initialized') return false;
  if (filter.state !== null && row.state !== filter.state) return false;
  if (!row.id.startsWith(filter.id)) return false;
  return Object.entries(filter.labels).every(([key, value]) => row.config.labels[key] === value);
}
