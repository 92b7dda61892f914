import { hostname } from 'node:os';
import { posix } from 'node:path';
import { SkiffError } from '../../base/errors.ts';
import type { ImageRunConfig } from '../../image/types.ts';
import type { Process, Spec, User } from '../../oci/runtime-spec.ts';
import { containerEnv, mergeEnv } from '../env.ts';
import type { ContainerConfig, ContainerUser } from '../types.ts';
import type { SpecInput } from './input.ts';

type Chapter = Pick<Process, 'terminal' | 'user' | 'args' | 'env' | 'cwd'>;

/** Who runs what, where, in which environment. */
export function processChapter(input: Pick<SpecInput, 'config' | 'image' | 'sandbox' | 'user'>): Chapter {
  const { config, image, sandbox, user } = input;
  return {
    ...(config.tty ? { terminal: true } : {}),
    user: ociUser(user),
    args: processArgs(config, image),
    env: containerEnv({
      // A pod on the host's network has the host's name, and CRI then sends none.
      hostname: sandbox.config.hostname || hostname(),
      tty: config.tty,
      image: image.env,
      config: config.envs,
    }),
    cwd: workingDirectory(config, image),
  };
}

/**
 * The command line. As Kubernetes has it: `command` replaces the image's
 * entrypoint and with it the image's cmd; `args` alone replace the cmd.
 */
export function processArgs(
  config: Pick<ContainerConfig, 'command' | 'args'>,
  image: Pick<ImageRunConfig, 'entrypoint' | 'cmd'>,
): string[] {
  const own = config.command.length > 0;
  // A build with `ENTRYPOINT []` may leave one empty string behind.
  const entrypoint = image.entrypoint.length === 1 && image.entrypoint[0] === '' ? [] : image.entrypoint;
  const command = own ? config.command : entrypoint;
  const args = own || config.args.length > 0 ? config.args : image.cmd;
  const line = [...command, ...args];
  if (line.length === 0)
    throw new SkiffError(
      'invalid_argument',
      'no command: the image has neither entrypoint nor cmd, so the container must name one',
    );
  return line;
}

/**
 * The process of an exec in a container made from `spec`: everything as its
 * init, but another command and a terminal of its own or none.
 */
export function execProcess(spec: Spec, cmd: readonly string[], tty: boolean): Process {
  if (cmd.length === 0) throw new SkiffError('invalid_argument', 'exec: the command is empty');
  const { terminal: _, consoleSize: __, ...process } = spec.process;
  const env = tty ? mergeEnv(['TERM=xterm'], process.env) : process.env;
  return { ...process, terminal: tty, args: [...cmd], env };
}

function ociUser(user: ContainerUser): User {
  return { uid: user.uid, gid: user.gid, additionalGids: [...user.supplementalGroups] };
}

function workingDirectory(config: ContainerConfig, image: ImageRunConfig): string {
  return posix.resolve('/', config.workingDir || image.workingDir || '/');
}
