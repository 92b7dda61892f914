import assert from 'node:assert/strict';
import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { isCode } from '../../src/base/errors.ts';
import { connectSpdy, openCommand, openForward } from '../../src/streaming/client.ts';
import { type Inventory, leaks, takeInventory } from '../harness/leaks.ts';
import { until } from '../harness/until.ts';
import { type RunningPod, World } from '../harness/world.ts';

const STREAMS = { tty: false, stdin: true, stdout: true, stderr: true };
const OUT = { tty: false, stdin: false, stdout: true, stderr: false };

/** Streams seen from the wire: every protocol, and clients that misbehave. */
describe('streaming on the wire', () => {
  let world: World;
  let web: RunningPod;
  let start: Inventory;

  before(async () => {
    world = await World.start();
    await world.pull();
    start = await takeInventory(world.daemon);
    web = await world.runPod('web', ['/bin/httpd', '-f', '-p', '80', '-h', '/www']);
  });

  after(async () => {
    await world?.[Symbol.asyncDispose]();
  });

  const exec = async (cmd: string[], streams = STREAMS): Promise<string> =>
    (await world.daemon.cri.runtime.Exec({ container_id: web.container, cmd, ...streams })).url;
  const forward = async (port: number[] = []): Promise<string> =>
    (await world.daemon.cri.runtime.PortForward({ pod_sandbox_id: web.pod, port })).url;

  describe('the requests', () => {
    const { invalid, missing } = { invalid: 'invalid_argument', missing: 'not_found' } as const;

    it('are refused by what is wrong with them', async () => {
      const { runtime } = world.daemon.cri;
      const container_id = web.container;
      const attempts = [
        [invalid, runtime.Exec({ cmd: ['true'], stdout: true })],
        [invalid, runtime.Exec({ container_id, stdout: true })],
        [invalid, runtime.Exec({ container_id, cmd: ['true'] })],
        [invalid, runtime.Exec({ container_id, cmd: ['true'], tty: true, stdout: true, stderr: true })],
        [missing, runtime.Exec({ container_id: 'f00', cmd: ['true'], stdout: true })],
        [invalid, runtime.Attach({ stdout: true })],
        [invalid, runtime.Attach({ container_id })],
        [invalid, runtime.Attach({ container_id, tty: true, stderr: true })],
        [invalid, runtime.PortForward({})],
        [invalid, runtime.PortForward({ pod_sandbox_id: web.pod, port: [0] })],
        [missing, runtime.PortForward({ pod_sandbox_id: 'f00' })],
      ] as const;
      for (const [code, attempt] of attempts)
        await assert.rejects(attempt, (cause: unknown) => isCode(cause, code));
    });

    it('are refused for a container that does not run', async () => {
      const gone = await world.runPod('gone', ['true']);
      const container_id = gone.container;
      await until('it has ended', async () => {
        const { status } = await world.daemon.cri.runtime.ContainerStatus({ container_id });
        return status?.state === 'CONTAINER_EXITED';
      });
      const { runtime } = world.daemon.cri;
      const stopped = (cause: unknown) => isCode(cause, 'failed_precondition');
      await assert.rejects(runtime.Exec({ container_id, cmd: ['true'], stdout: true }), stopped);
      await assert.rejects(runtime.Attach({ container_id, stdout: true }), stopped);
      await world.removePod(gone.pod);
    });
  });

  describe('the URLs', () => {
    const ask = (url: string, method = 'GET', headers = {}): Promise<number> =>
      new Promise((resolve, reject) => {
        const sent = request(url, { method, headers, agent: false }, (response) => {
          response.resume();
          resolve(response.statusCode ?? 0);
        });
        sent.on('upgrade', (_, socket) => {
          socket.destroy();
          resolve(101);
        });
        sent.on('error', reject);
        sent.end();
      });
    const spdy = {
      connection: 'Upgrade',
      upgrade: 'SPDY/3.1',
      'x-stream-protocol-version': 'v4.channel.k8s.io',
    };

    it('are good once, for what they were given for, with GET and POST', async () => {
      for (const method of ['GET', 'POST']) {
        const url = await exec(['true']);
        assert.equal(await ask(url, method, spdy), 101);
        assert.equal(await ask(url, method, spdy), 404);
      }
      assert.equal(await ask((await exec(['true'])).replace('/exec/', '/attach/'), 'POST', spdy), 404);
      assert.equal(await ask(`${(await exec(['true'])).slice(0, -1)}_`, 'POST', spdy), 404);
      assert.equal(await ask(new URL('/', await exec(['true'])).href, 'POST', spdy), 404);
      assert.equal(await ask(await exec(['true']), 'PUT', spdy), 405);
    });

    it('need an upgrade to something that is spoken', async () => {
      assert.equal(await ask(await exec(['true'])), 426);
      assert.equal(await ask(await exec(['true']), 'GET', { ...spdy, upgrade: 'h2c' }), 426);
      assert.equal(
        await ask(await exec(['true']), 'POST', { ...spdy, 'x-stream-protocol-version': 'x' }),
        403,
      );
      assert.equal(
        await ask(await exec(['true']), 'POST', { connection: 'Upgrade', upgrade: 'SPDY/3.1' }),
        400,
      );
      const socket = { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-protocol': 'x' };
      assert.equal(await ask(await exec(['true']), 'GET', socket), 400);
    });
  });

  describe('WebSocket', () => {
    const COMMAND = ['sh', '-c', 'read line; echo "got $line"; echo err >&2; exit 7'];
    const open = async (
      url: string,
      protocol: string,
    ): Promise<{ socket: WebSocket; messages: Buffer[] }> => {
      const socket = protocol === '' ? new WebSocket(url) : new WebSocket(url, protocol);
      const messages: Buffer[] = [];
      socket.on('message', (message: Buffer) => messages.push(message));
      await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
      assert.equal(socket.protocol, protocol);
      return { socket, messages };
    };
    const closed = (socket: WebSocket): Promise<number> =>
      new Promise((resolve) => socket.once('close', (code) => resolve(code)));

    for (const protocol of [
      '',
      'channel.k8s.io',
      'v4.channel.k8s.io',
      'v5.channel.k8s.io',
      'base64.channel.k8s.io',
      'v4.base64.channel.k8s.io',
    ])
      it(`serves exec as "${protocol}"`, async () => {
        const base64 = protocol.includes('base64');
        const { socket, messages } = await open(await exec(COMMAND), protocol);
        const line = Buffer.from('a line\n');
        socket.send(base64 ? `0${line.toString('base64')}` : Buffer.concat([Buffer.of(0), line]));
        assert.equal(await closed(socket), 1000);
        const channel = (number: number) =>
          messages
            .filter((message) => message[0] === (base64 ? 48 + number : number))
            .map((message) =>
              base64 ? Buffer.from(String(message.subarray(1)), 'base64') : message.subarray(1),
            )
            .join('');
        assert.deepEqual([channel(1), channel(2)], ['got a line\n', 'err\n']);
        assert.deepEqual([...(messages[0] ?? [])], [base64 ? 49 : 1], 'an empty message comes first');
        const error = channel(3);
        if (/^v[45]/.test(protocol)) assert.equal(JSON.parse(error).details.causes[0].message, '7');
        else assert.match(error, /exit code 7/);
      });

    it('half-closes with v5', async () => {
      const { socket, messages } = await open(await exec(['sh', '-c', 'cat; echo end']), 'v5.channel.k8s.io');
      socket.send(Buffer.from('\0abc'));
      socket.send(Buffer.from([255, 0]));
      await closed(socket);
      assert.equal(
        messages
          .filter(([channel]) => channel === 1)
          .map((message) => message.subarray(1))
          .join(''),
        'abcend\n',
      );
    });

    for (const protocol of ['', 'v4.channel.k8s.io', 'v4.base64.channel.k8s.io'])
      it(`forwards ports over channels as "${protocol}"`, async () => {
        const base64 = protocol.includes('base64');
        const { socket, messages } = await open(await forward([80, 4]), protocol);
        const get = Buffer.from('GET / HTTP/1.0\r\n\r\n');
        socket.send(base64 ? `0${get.toString('base64')}` : Buffer.concat([Buffer.of(0), get]));
        await closed(socket);
        const channel = (number: number) =>
          Buffer.concat(
            messages
              .filter((message) => message[0] === (base64 ? 48 + number : number))
              .map((message) =>
                base64 ? Buffer.from(String(message.subarray(1)), 'base64') : message.subarray(1),
              ),
          );
        assert.deepEqual(
          [0, 1, 2, 3].map((number) => channel(number).readUInt16LE(0)),
          [80, 80, 4, 4],
        );
        assert.match(String(channel(0)), /200 OK.*hello from skiff/s);
        assert.match(String(channel(3)), /nobody listens/);
      });
  });

  it('survives frames of every wrong kind', async () => {
    const bad = [
      'ffffffffffffffffffffffffffffffff',
      '80020001000000040000000100',
      '8003000100ffffff',
      '0000000000000000',
      '800300010000000e0000000100000000000001020304',
      '8003000400000004ffffffff',
      '800300060000000300000100',
    ];
    for (const hex of bad)
      for (const url of [await exec(['sleep', '1000']), await forward()]) {
        const socket = await upgraded(url);
        socket.write(Buffer.from(hex, 'hex'));
        await new Promise((resolve) => socket.once('close', resolve).once('end', resolve).resume());
        socket.destroy();
      }
    const command = await openCommand(await exec(['echo', 'well'], OUT), OUT);
    assert.equal(await textOf(command.stdout), 'well\n');
    await command.close();
  });

  it('ends the input of a command whose client vanishes, and lets it go on', async () => {
    const command = await openCommand(
      await exec(['sh', '-c', 'cat >/dev/null; echo done >/tmp/vanished; echo lost']),
      STREAMS,
    );
    command.stdin?.write('x');
    await sleep(300);
    await command.close();
    const container_id = web.container;
    await until('it has gone on', async () => {
      const reply = await world.daemon.cri.runtime.ExecSync({ container_id, cmd: ['cat', '/tmp/vanished'] });
      return reply.exit_code === 0;
    });
  });

  it('takes a stream of an unknown type for none', async () => {
    const session = await connectSpdy(await exec(['true']), 'v4.channel.k8s.io');
    await assert.rejects(session.open(new Map([['streamtype', 'nonsense']])), /refused/);
    await session.close();
  });

  it('forwards half-closed connections to the end', async () => {
    // The server answers after its client has said that it is done.
    const pod = await world.runPod('slow', [
      'sh',
      '-c',
      'while true; do nc -l -p 90 -e sh -c "cat; sleep 2; echo end"; done',
    ]);
    const { url } = await world.daemon.cri.runtime.PortForward({ pod_sandbox_id: pod.pod });
    const session = await openForward(url);
    const stream = await session.connect(90, (message) => assert.fail(message));
    stream.end('asked');
    assert.equal(await text(stream), 'askedend\n');
    await session.close();
    await world.removePod(pod.pod);
  });

  it('leaves nothing', async () => {
    await world.removePod(web.pod);
    assert.deepEqual(await leaks(world.daemon, start), []);
  });
});

/** A connection that was upgraded to SPDY by hand. */
async function upgraded(url: string): Promise<Socket> {
  const { hostname, port, pathname } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => undefined);
  const version = pathname.startsWith('/portforward') ? 'portforward.k8s.io' : 'v4.channel.k8s.io';
  socket.write(
    `POST ${pathname} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: ${version}\r\n\r\n`,
  );
  const [answer] = await new Promise<Buffer[]>((resolve) => socket.once('data', (data) => resolve([data])));
  assert.match(String(answer), /^HTTP\/1\.1 101 /);
  return socket;
}

function textOf(stream: Readable | null): Promise<string> {
  return stream === null ? Promise.resolve('') : text(stream);
}
