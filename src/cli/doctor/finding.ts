import type { Config } from '../../config/schema.ts';

/** What one check found. `warn` = something will not work or not well; `fail` = pods cannot run. */
export interface Finding {
  name: string;
  state: 'ok' | 'warn' | 'fail';
  message: string;
  /** What to do about it, '' = nothing. */
  fix: string;
}

export interface CheckContext {
  config: Config;
  root: boolean;
}

export type Check = (context: CheckContext) => Promise<Finding | Finding[]>;

export function ok(name: string, message: string): Finding {
  return { name, state: 'ok', message, fix: '' };
}

export function warn(name: string, message: string, fix: string): Finding {
  return { name, state: 'warn', message, fix };
}

export function fail(name: string, message: string, fix: string): Finding {
  return { name, state: 'fail', message, fix };
}
