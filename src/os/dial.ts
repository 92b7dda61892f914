import { connect, Socket } from 'node:net';
import { errnoOf, messageOf, SkiffError } from '../base/errors.ts';
import { native } from './native.ts';

const LOOPBACK = ['127.0.0.1', '::1'];

/**
 * A connection to a TCP port of the loopback, IPv4 and then IPv6, in the network
 * namespace pinned at `netns`, null = this process's own. Half-closing works.
 * `unavailable` where nobody listens.
 */
export async function dialLoopback(netns: string | null, port: number): Promise<Socket> {
  const failures: unknown[] = [];
  for (const address of LOOPBACK) {
    try {
      return netns === null ? await dialHere(address, port) : await dialThere(netns, address, port);
    } catch (cause) {
      failures.push(cause);
    }
  }
  const refused = failures.some((cause) => errnoOf(cause) === 'ECONNREFUSED');
  const why = refused ? 'nobody listens there' : failures.map(messageOf).join('; ');
  throw new SkiffError('unavailable', `connect to port ${port} of the pod: ${why}`, { cause: failures[0] });
}

async function dialThere(netns: string, address: string, port: number): Promise<Socket> {
  const fd = await native().dialTcp(netns, address, port);
  return new Socket({ fd, allowHalfOpen: true, readable: true, writable: true });
}

function dialHere(address: string, port: number): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const socket = connect({ host: address, port, allowHalfOpen: true });
  socket.once('error', reject);
  socket.once('connect', () => {
    socket.off('error', reject);
    resolve(socket);
  });
  return promise;
}
