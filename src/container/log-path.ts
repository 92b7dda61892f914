import { posix } from 'node:path';
import { SkiffError } from '../base/errors.ts';

/**
 * Where a container's log goes: `relative` below the sandbox's log directory,
 * '' (nothing is logged) where either is not given. A path that would leave
 * the directory is refused: the log is written as root.
 */
export function logPath(logDirectory: string, relative: string): string {
  if (logDirectory === '' || relative === '') return '';
  if (relative.includes('\0')) throw new SkiffError('invalid_argument', 'log_path holds a NUL byte');
  if (!posix.isAbsolute(logDirectory))
    throw new SkiffError('invalid_argument', `log_directory ${logDirectory} must be an absolute path`);
  const directory = posix.resolve(logDirectory);
  const path = posix.join(directory, relative);
  const inside = directory === '/' ? path !== '/' : path.startsWith(`${directory}/`);
  if (!inside)
    throw new SkiffError('invalid_argument', `log_path ${relative} leaves the log directory ${logDirectory}`);
  return path;
}
