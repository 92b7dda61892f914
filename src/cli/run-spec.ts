import { resolve } from 'node:path';
import { SkiffError } from '../base/errors.ts';
import type { ContainerConfig, PodConfig } from './cri-types.ts';

/** What `skiff run` was asked for. */
export interface RunOptions {
  env: string[];
  volume: string[];
  publish: string[];
  name: string;
  hostNetwork: boolean;
  runtime: string;
  detach: boolean;
  interactive: boolean;
  tty: boolean;
}

/** Marks pods that `skiff run` made; the value names their log directory. */
export const RUN_LABEL = 'io.skiff.run';

/** Of the pods of `skiff run`. */
export const NAMESPACE = 'default';

export const LOG_FILE = 'container.log';

/** As the kubelet sends them for a container with the default procMount. */
const MASKED_PATHS = [
  '/proc/asound',
  '/proc/acpi',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/sys/firmware',
  '/sys/devices/virtual/powercap',
];
const READONLY_PATHS = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

const SECCOMP = { profile_type: 'RuntimeDefault' } as const;

/** The pod of `skiff run`: one container, namespaces of its own, the node's network only where asked for. */
export function podOf(options: RunOptions, name: string, uid: string, logDirectory: string): PodConfig {
  return {
    metadata: { name, uid, namespace: NAMESPACE, attempt: 0 },
    hostname: options.hostNetwork ? '' : name.slice(0, 63),
    log_directory: logDirectory,
    port_mappings: options.publish.map(portOf),
    labels: { [RUN_LABEL]: uid },
    linux: {
      security_context: { namespace_options: namespaces(options), seccomp: SECCOMP },
    },
  };
}

export function containerOf(
  options: RunOptions,
  name: string,
  image: string,
  args: string[],
): ContainerConfig {
  return {
    metadata: { name, attempt: 0 },
    image: { image, user_specified_image: image },
    args,
    // Values travel as bytes.
    envs: options.env.map(envOf).map(({ key, value }) => ({ key, value: Buffer.from(value) })),
    mounts: options.volume.map(mountOf),
    labels: {},
    log_path: LOG_FILE,
    stdin: options.interactive,
    // Nobody else is going to type.
    stdin_once: options.interactive && !options.detach,
    tty: options.tty,
    linux: {
      security_context: {
        namespace_options: namespaces(options),
        masked_paths: MASKED_PATHS,
        readonly_paths: READONLY_PATHS,
        seccomp: SECCOMP,
      },
    },
  };
}

/** `KEY=VALUE`, or `KEY` with the caller's own value. */
export function envOf(text: string): { key: string; value: string } {
  const at = text.indexOf('=');
  const key = at < 0 ? text : text.slice(0, at);
  if (key === '') throw wrong('-e', 'KEY=VALUE or KEY', text);
  return { key, value: at < 0 ? (process.env[key] ?? '') : text.slice(at + 1) };
}

/** `HOST:CONTAINER` or `HOST:CONTAINER:ro`; HOST may be relative to the working directory. */
export function mountOf(text: string) {
  const [host = '', container = '', mode = 'rw', ...rest] = text.split(':');
  const fits = host !== '' && container.startsWith('/') && ['ro', 'rw'].includes(mode) && rest.length === 0;
  if (!fits) throw wrong('-v', 'HOST:CONTAINER or HOST:CONTAINER:ro with an absolute CONTAINER', text);
  return { host_path: resolve(host), container_path: container, readonly: mode === 'ro' };
}

/** `HOST:CONTAINER`, before it perhaps an address and `:`, after it perhaps `/tcp`, `/udp` or `/sctp`. */
export function portOf(text: string) {
  const match = /^(?:(\[[^\]]+\]|[^:[\]]+):)?(\d+):(\d+)(?:\/(tcp|udp|sctp))?$/.exec(text);
  const [, address = '', host = '', container = '', protocol = 'tcp'] = match ?? [];
  const ports = [Number(host), Number(container)];
  if (match === null || ports.some((port) => port < 1 || port > 65_535)) {
    throw wrong('-p', '[ADDRESS:]HOST:CONTAINER[/tcp|udp|sctp] with ports from 1 to 65535', text);
  }
  return {
    protocol: protocol.toUpperCase() as 'TCP' | 'UDP' | 'SCTP',
    host_port: ports[0]!,
    container_port: ports[1]!,
    host_ip: address.replace(/^\[|\]$/g, ''),
  };
}

/** Fails with `invalid_argument` for options that are wrong by themselves or together. */
export function checkOptions({ name, publish, hostNetwork }: RunOptions): void {
  // The name is the host name, too.
  if (name !== '' && !/^[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$/.test(name)) {
    throw wrong('--name', 'at most 63 letters, digits and dashes', name);
  }
  if (hostNetwork && publish.length > 0) {
    throw new SkiffError(
      'invalid_argument',
      '-p: a pod with --host-network has the ports of the host already',
    );
  }
}

function namespaces({ hostNetwork }: RunOptions) {
  return { network: hostNetwork ? 'NODE' : 'POD', pid: 'CONTAINER', ipc: 'POD' } as const;
}

function wrong(option: string, expected: string, found: string): SkiffError {
  return new SkiffError('invalid_argument', `${option}: expected ${expected}, found "${found}"`);
}
