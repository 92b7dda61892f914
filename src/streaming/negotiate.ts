import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { CHANNEL_PROTOCOLS } from './websocket/channels.ts';

/** What a client asked for, and how it will be spoken to. */
export type Negotiated =
  | { transport: 'spdy'; protocol: string }
  | { transport: 'websocket'; protocol: string }
  /** A SPDY session in the binary messages of a WebSocket; `subprotocol` is its full name. */
  | { transport: 'tunnel'; protocol: string; subprotocol: string }
  | { transport: 'none'; status: number; message: string; headers: Record<string, string> };

/** Protocols by transport, the client's order decides. */
export interface Supported {
  spdy: readonly string[];
  websocket: readonly string[];
  tunnel: readonly string[];
}

/** v1 to v4 of remote commands; v5 is v4 over WebSocket, with a way to half-close. */
export const REMOTE_COMMAND: Supported = {
  spdy: ['v4.channel.k8s.io', 'v3.channel.k8s.io', 'v2.channel.k8s.io', 'channel.k8s.io'],
  websocket: Object.keys(CHANNEL_PROTOCOLS),
  tunnel: [],
};

export const PORT_FORWARD: Supported = {
  spdy: ['portforward.k8s.io'],
  websocket: ['', 'v4.channel.k8s.io', 'v4.base64.channel.k8s.io'],
  tunnel: ['portforward.k8s.io'],
};

const TUNNEL_PREFIX = 'SPDY/3.1+';

/** Agrees on a protocol: X-Stream-Protocol-Version for SPDY, Sec-WebSocket-Protocol for WebSocket (RFC 6455). */
export function negotiate(request: IncomingMessage, supported: Supported): Negotiated {
  const upgrade = (request.headers.upgrade ?? '').toLowerCase();
  const upgrades = /\bupgrade\b/i.test(request.headers.connection ?? '');
  if (upgrades && upgrade === 'websocket') return negotiateWebSocket(request.headers, supported);
  if (upgrades && upgrade === 'spdy/3.1') return negotiateSpdy(request.headers, supported);
  return refusal(426, 'this needs an upgrade of the connection to SPDY/3.1 or WebSocket', {
    upgrade: 'SPDY/3.1, websocket',
  });
}

function negotiateSpdy(headers: IncomingHttpHeaders, supported: Supported): Negotiated {
  const wanted = listOf(headers['x-stream-protocol-version']);
  if (wanted.length === 0) return refusal(400, 'the header X-Stream-Protocol-Version is missing');
  const protocol = wanted.find((name) => supported.spdy.includes(name));
  if (protocol !== undefined) return { transport: 'spdy', protocol };
  return refusal(403, `none of ${wanted.join(', ')} is spoken here; known: ${supported.spdy.join(', ')}`, {
    'x-accepted-stream-protocol-versions': supported.spdy.join(', '),
  });
}

function negotiateWebSocket(headers: IncomingHttpHeaders, supported: Supported): Negotiated {
  const wanted = listOf(headers['sec-websocket-protocol']);
  for (const name of wanted.length === 0 ? [''] : wanted) {
    if (supported.websocket.includes(name)) return { transport: 'websocket', protocol: name };
    const inner = name.startsWith(TUNNEL_PREFIX) ? name.slice(TUNNEL_PREFIX.length) : undefined;
    if (inner !== undefined && supported.tunnel.includes(inner))
      return { transport: 'tunnel', protocol: inner, subprotocol: name };
  }
  const known = [...supported.websocket.filter((name) => name !== ''), ...supported.tunnel.map(tunneled)];
  return refusal(400, `none of ${wanted.join(', ')} is spoken here; known: ${known.join(', ')}`);
}

export function tunneled(protocol: string): string {
  return TUNNEL_PREFIX + protocol;
}

function refusal(status: number, message: string, headers: Record<string, string> = {}): Negotiated {
  return { transport: 'none', status, message, headers };
}

function listOf(header: string | string[] | undefined): string[] {
  return [header ?? []]
    .flat()
    .flatMap((line) => line.split(','))
    .map((name) => name.trim())
    .filter((name) => name !== '');
}
