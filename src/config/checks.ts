import { nearest, type Problem } from './problems.ts';
import type { Config } from './schema.ts';

/** sun_path of sockaddr_un holds 108 bytes with the closing zero (unix(7)). */
const SOCKET_PATH_MAX = 107;
/** The longest socket path below the state directory: one per container, ids have 64 digits. */
const LONGEST_SOCKET = `/containers/${'0'.repeat(64)}/shim.sock`;

/** What is wrong with a configuration whose values are all right one by one. */
export function checksOf(config: Config): Problem[] {
  return [
    ...statePath(config),
    ...defaultRuntime(config),
    ...runtimePaths(config),
    ...directories(config),
    ...keyPair(config),
  ];
}

function statePath({ state }: Config): Problem[] {
  const longest = SOCKET_PATH_MAX - LONGEST_SOCKET.length;
  const length = Buffer.byteLength(state);
  if (length <= longest) return [];
  const text = `expected a path of at most ${longest} bytes, found one of ${length}: unix sockets below it would get paths over ${SOCKET_PATH_MAX} bytes`;
  return [{ path: ['state'], text }];
}

function defaultRuntime({ defaultRuntime: name, runtimes }: Config): Problem[] {
  const names = Object.keys(runtimes);
  if (names.includes(name)) return [];
  const near = nearest(name, names);
  const text = `there is no table [runtimes.${name}]; ${near === undefined ? `known: ${names.join(', ')}` : `did you mean "${near}"?`}`;
  return [{ path: ['default_runtime'], text }];
}

function runtimePaths({ runtimes }: Config): Problem[] {
  return Object.entries(runtimes)
    .filter(([, { path }]) => path === '' || (path.includes('/') && !path.startsWith('/')))
    .map(([name, { path }]) => ({
      path: ['runtimes', name, 'path'],
      text: `expected the name of a program in PATH or an absolute path, found "${path}"`,
    }));
}

function directories({ root, state }: Config): Problem[] {
  if (root !== state) return [];
  return [{ path: ['state'], text: `expected another directory than root, found the same, ${root}` }];
}

function keyPair({ streaming }: Config): Problem[] {
  const { tls, tlsCertFile, tlsKeyFile } = streaming;
  if ((tlsCertFile === '') === (tlsKeyFile === '') && (tls || tlsCertFile === '')) return [];
  const text = tls
    ? 'expected both of tls_cert_file and tls_key_file, or none for a certificate that is made at start'
    : 'expected tls = true where there are tls_cert_file and tls_key_file';
  return [{ path: ['streaming', 'tls'], text }];
}
