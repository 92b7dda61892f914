import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { copyStream } from '../base/copy-stream.ts';
import { messageOf, SkiffError } from '../base/errors.ts';
import { type ClientForward, openForward } from '../streaming/client.ts';
import type { Daemon } from './daemon.ts';
import { Interrupts } from './interrupts.ts';
import { findTarget, inventory } from './names.ts';
import { note, print } from './output.ts';

/** A port here, 0 = any that is free, and the one of the pod that it leads to. */
export interface PortPair {
  local: number;
  remote: number;
}

/** `skiff port-forward POD PORT...`: until Ctrl-C. */
export async function portForward(
  daemon: Daemon,
  name: string,
  ports: string[],
  options: { address: string },
): Promise<void> {
  const pairs = ports.map(portPair);
  const pod = await daemon.withCri(async (cri) => {
    const target = findTarget(await inventory(cri), name);
    return target.kind === 'pod' ? target.pod.id : target.container.pod_sandbox_id;
  });
  // Asked for once, and again when it is lost: a restart of the daemon costs the connections under way only.
  let session: Promise<ClientForward> | undefined;
  const connect = () => {
    session ??= daemon
      .withCri((cri) => cri.runtime.PortForward({ pod_sandbox_id: pod }))
      .then(({ url }) => openForward(url));
    const current = session;
    const forget = () => {
      if (session === current) session = undefined;
    };
    current.then(({ closed }) => closed.then(forget), forget);
    return current;
  };
  await connect();
  const interrupts = new Interrupts();
  const servers = await Promise.all(pairs.map((pair) => listen(pair, options.address, connect)));
  if (!interrupts.first.aborted) await once(interrupts.first, 'abort');
  interrupts.stop();
  for (const server of servers) server.close();
  await (await session)?.close();
}

/** "8080:80", "80" for the same port here, ":80" for any that is free here. */
export function portPair(text: string): PortPair {
  const [, local, remote = ''] = /^(?:(\d*):)?(\d+)$/.exec(text) ?? [];
  const pair = { local: Number(local ?? remote), remote: Number(remote) };
  if (pair.remote >= 1 && pair.remote <= 65_535 && pair.local <= 65_535) return pair;
  throw new SkiffError(
    'invalid_argument',
    `expected [LOCAL:]PORT with ports from 1 to 65535, found "${text}"`,
  );
}

async function listen(
  pair: PortPair,
  address: string,
  connect: () => Promise<ClientForward>,
): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    join(socket, pair.remote, connect).catch((cause: unknown) => {
      note(`skiff: port ${pair.remote}: ${messageOf(cause)}`);
      socket.destroy();
    });
  });
  server.listen(pair.local, address);
  try {
    await once(server, 'listening');
  } catch (cause) {
    throw SkiffError.from(cause, `listen on port ${pair.local} of ${address}`);
  }
  const bound = server.address();
  const local = typeof bound === 'object' && bound !== null ? bound.port : pair.local;
  print(`${address.includes(':') ? `[${address}]` : address}:${local} -> ${pair.remote}`);
  return server;
}

async function join(socket: Socket, port: number, connect: () => Promise<ClientForward>): Promise<void> {
  socket.on('error', () => undefined);
  const session = await connect();
  const data = await session.connect(port, (message) => note(`skiff: ${message}`));
  socket.once('close', () => data.destroy());
  await Promise.all([copyStream(socket, data), copyStream(data, socket)]);
}
