import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { describe, it } from 'node:test';
import { isCode } from '../../../src/base/errors.ts';
import { negotiate, PORT_FORWARD, REMOTE_COMMAND, type Supported } from '../../../src/streaming/negotiate.ts';
import { selfSigned } from '../../../src/streaming/self-signed.ts';
import { statusBytes } from '../../../src/streaming/status.ts';
import { terminalSizes } from '../../../src/streaming/terminal-sizes.ts';
import { MAX_TOKENS, TOKEN_LIFE_MS, Tokens } from '../../../src/streaming/tokens.ts';

describe('tokens', () => {
  it('are good once', () => {
    const tokens = new Tokens<string>();
    const [one, two] = [tokens.insert('one'), tokens.insert('two')];
    assert.deepEqual([tokens.consume(two), tokens.consume(one)], ['two', 'one']);
    assert.equal(tokens.consume(one), undefined);
    assert.equal(tokens.consume('nonsense'), undefined);
  });

  it('hold 128 bits of chance at least, in characters for a URL', () => {
    const tokens = new Tokens<number>();
    const all = new Set(Array.from({ length: 500 }, () => tokens.insert(1)));
    assert.equal(all.size, 500);
    for (const token of all) assert.match(token, /^[\w-]{22,}$/);
  });

  it('live for a minute', () => {
    let now = 0;
    const tokens = new Tokens<string>({ now: () => now });
    const early = tokens.insert('early');
    now = TOKEN_LIFE_MS / 2;
    const late = tokens.insert('late');
    now = TOKEN_LIFE_MS;
    assert.equal(tokens.consume(early), undefined);
    assert.equal(tokens.consume(late), 'late');
  });

  it('are bounded, until old ones have died', () => {
    let now = 0;
    const tokens = new Tokens<number>({ now: () => now });
    for (let i = 0; i < MAX_TOKENS; i++) tokens.insert(i);
    assert.throws(
      () => tokens.insert(-1),
      (cause: unknown) => isCode(cause, 'resource_exhausted'),
    );
    now = TOKEN_LIFE_MS;
    assert.ok(tokens.insert(1));
  });
});

describe('negotiation', () => {
  const ask = (headers: Record<string, string>, supported: Supported = REMOTE_COMMAND) =>
    negotiate({ headers } as unknown as IncomingMessage, supported);
  const spdy = (versions: string, supported?: Supported) =>
    ask({ connection: 'Upgrade', upgrade: 'SPDY/3.1', 'x-stream-protocol-version': versions }, supported);
  const webSocket = (protocols: string | undefined, supported?: Supported) =>
    ask(
      {
        connection: 'keep-alive, Upgrade',
        upgrade: 'websocket',
        ...(protocols && { 'sec-websocket-protocol': protocols }),
      },
      supported,
    );

  it("takes the first of the client's that is known", () => {
    const all = 'v5.channel.k8s.io, v4.channel.k8s.io,v3.channel.k8s.io';
    assert.deepEqual(spdy(all), { transport: 'spdy', protocol: 'v4.channel.k8s.io' });
    assert.deepEqual(spdy('channel.k8s.io'), { transport: 'spdy', protocol: 'channel.k8s.io' });
    assert.deepEqual(webSocket(all), { transport: 'websocket', protocol: 'v5.channel.k8s.io' });
    assert.deepEqual(webSocket(undefined), { transport: 'websocket', protocol: '' });
    assert.deepEqual(webSocket('x, base64.channel.k8s.io'), {
      transport: 'websocket',
      protocol: 'base64.channel.k8s.io',
    });
  });

  it('knows the tunnel for port-forward, and there only', () => {
    const name = 'SPDY/3.1+portforward.k8s.io';
    assert.deepEqual(webSocket(name, PORT_FORWARD), {
      transport: 'tunnel',
      protocol: 'portforward.k8s.io',
      subprotocol: name,
    });
    assert.equal(webSocket(name).transport, 'none');
  });

  it('refuses with the status that the peers give', () => {
    const statusOf = (answer: ReturnType<typeof ask>) => (answer.transport === 'none' ? answer.status : 0);
    assert.equal(statusOf(ask({})), 426);
    assert.equal(statusOf(ask({ connection: 'Upgrade', upgrade: 'h2c' })), 426);
    assert.equal(statusOf(spdy('')), 400);
    assert.equal(statusOf(spdy('v9.channel.k8s.io')), 403);
    assert.equal(statusOf(webSocket('v9.channel.k8s.io')), 400);
  });
});

describe('the error stream', () => {
  // Shapes that k8s.io/client-go, package remotecommand, decodes.
  it('is a metav1.Status from v4 on', () => {
    const status = (outcome: Parameters<typeof statusBytes>[0]) =>
      JSON.parse(String(statusBytes(outcome, 'json')));
    assert.equal(status({ exitCode: 0 }).status, 'Success');
    const failure = status({ exitCode: 137 });
    assert.deepEqual([failure.status, failure.reason], ['Failure', 'NonZeroExitCode']);
    assert.deepEqual(failure.details.causes, [{ reason: 'ExitCode', message: '137' }]);
    const error = status({ error: 'no such program' });
    assert.deepEqual(
      [error.status, error.reason, error.message],
      ['Failure', 'InternalError', 'no such program'],
    );
  });

  it('is a text before v4, and none for success', () => {
    assert.equal(String(statusBytes({ exitCode: 0 }, 'text')), '');
    assert.match(String(statusBytes({ exitCode: 3 }, 'text')), /exit code 3/);
    assert.equal(String(statusBytes({ error: 'no' }, 'text')), 'no');
  });
});

describe('terminal sizes', () => {
  const read = async (...chunks: string[]) => {
    const sizes: string[] = [];
    const stream = Readable.from(chunks.map((chunk) => Buffer.from(chunk)));
    for await (const { width, height } of terminalSizes(stream)) sizes.push(`${width}x${height}`);
    return sizes;
  };

  it('are read from JSON objects that are cut anywhere', async () => {
    assert.deepEqual(await read('{"Width":80,"Height":24}\n{"Wid', 'th":100', ',"Height":30}\n'), [
      '80x24',
      '100x30',
    ]);
    assert.deepEqual(await read('{"height":1,"width":2}'), ['2x1']);
  });

  it('leave out what is no size', async () => {
    const nonsense = [
      '{"Width":-1,"Height":2}',
      '{"Width":70000,"Height":2}',
      '{"Width":"9"}',
      '}}}',
      '[]{}',
    ];
    assert.deepEqual(await read(...nonsense, 'x'.repeat(5000), '{"Width":3,"Height":4}'), ['3x4']);
  });
});

describe('a certificate that is made at start', () => {
  it('is one that a TLS library takes, for its names and addresses', () => {
    const { cert, key } = selfSigned(['10.1.2.3', 'fd00::1:2', 'node-1']);
    const parsed = new X509Certificate(cert);
    assert.ok(parsed.verify(parsed.publicKey));
    assert.equal(parsed.checkIP('10.1.2.3'), '10.1.2.3');
    assert.equal(parsed.checkIP('fd00::1:2'), 'fd00::1:2');
    assert.equal(parsed.checkHost('node-1'), 'node-1');
    assert.equal(parsed.checkHost('node-2'), undefined);
    assert.ok(
      parsed.validFromDate < new Date() && parsed.validToDate > new Date(Date.now() + 365 * 86_400_000),
    );
    assert.match(key, /BEGIN PRIVATE KEY/);
  });
});
