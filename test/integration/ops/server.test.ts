import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, statSync } from 'node:fs';
import { link, mkdtemp, rm } from 'node:fs/promises';
import { type IncomingMessage, request } from 'node:http';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { SkiffError } from '../../../src/base/errors.ts';
import { silentLog } from '../../../src/base/log.ts';
import type { JournalRow } from '../../../src/base/state-protocol.ts';
import type { PullProgress } from '../../../src/image/types.ts';
import type { OpsApi } from '../../../src/ops/api.ts';
import { OpsServer } from '../../../src/ops/server.ts';
import type { ImageApi } from '../../../src/service/api.ts';

let directory: string;
let path: string;
let server: OpsServer;
let ready: boolean;
let journal: JournalRow[];
let listeners: Set<(row: JournalRow) => void>;
let pullImage: ImageApi['pullImage'];

const api: OpsApi = {
  runtime: {
    version: () => ({ runtimeName: 'skiff', runtimeVersion: '1.2.3' }),
    status: async (verbose) => ({
      conditions: [
        { type: 'RuntimeReady', status: ready, reason: ready ? '' : 'NoRunc', message: 'install runc' },
        { type: 'NetworkReady', status: false, reason: 'NoConfig', message: '' },
      ],
      handlers: [],
      supplementalGroupsPolicy: true,
      info: verbose ? { config: {} } : null,
    }),
  },
  images: { pullImage: (...args) => pullImage(...args) },
  imageStore: {
    usage: () => ({
      images: [],
      layers: [],
      documents: { bytes: 0, count: 0 },
      total: { bytes: 0, inodes: 0 },
    }),
    async *check(_call, { repair }) {
      yield { kind: 'layer', id: 'sha256:1', images: ['a'], problem: repair ? 'damaged' : '' };
    },
    export: async () => {},
    import: async (_call, { path }, tell) => {
      tell(progress('one', 1));
      return [path];
    },
  },
  config: () => ({ log: { level: 'info' } }),
  reloadConfig: async () => ({ applied: ['log.level'], needRestart: [] }),
  journal: async ({ subject, after, limit }) =>
    journal.filter((row) => row.subject.startsWith(subject) && row.seq > after).slice(-limit),
  onJournal: (listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
  operations: () => [{ name: 'RunPodSandbox', subject: 'a1', ageMs: 5, steps: ['cni add'] }],
  metrics: () => 'skiff_images 3\n',
};

function row(seq: number, subject: string, at = Date.now()): JournalRow {
  return { seq, subject, what: 'created', at: `${at}000000` };
}

function progress(layer: string, current: number): PullProgress {
  return { image: 'i', layer, phase: 'fetching', current, total: 100 };
}

function send(method: string, url: string, body?: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath: path, method, path: url, agent: false }, resolve);
    call.on('error', reject);
    call.end(body);
  });
}

async function textOf(reply: IncomingMessage): Promise<string> {
  return Buffer.concat(await reply.toArray()).toString();
}

async function answer(method: string, url: string, body?: string) {
  const reply = await send(method, url, body);
  return { status: reply.statusCode, headers: reply.headers, body: JSON.parse(await textOf(reply)) };
}

async function lines(reply: IncomingMessage): Promise<unknown[]> {
  return (await textOf(reply))
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
}

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sk-ops-'));
  path = join(directory, 'ops.sock');
  ready = true;
  journal = [];
  listeners = new Set();
  pullImage = async () => 'sha256:0';
  server = new OpsServer({ path }, { api, log: silentLog() });
  await server.listen();
});

afterEach(async () => {
  await server.close();
  assert.equal(existsSync(path), false, 'the socket is gone');
  assert.equal(listeners.size, 0, 'no listener is left');
  await rm(directory, { recursive: true });
});

describe('the socket', () => {
  it('is for root alone', () => assert.equal(statSync(path).mode & 0o777, 0o600));

  it('of a living daemon is not taken over', async () => {
    const second = new OpsServer({ path }, { api, log: silentLog() });
    await assert.rejects(second.listen(), /another process serves it/);
    assert.equal((await answer('GET', '/version')).status, 200);
  });

  it('that a dead daemon left behind is replaced', async () => {
    const other = join(directory, 'stale.sock');
    const stale = createServer().listen(other);
    await once(stale, 'listening');
    // A hard link keeps the name when the server's own close removes the first.
    await link(other, `${other}2`);
    await new Promise((resolve) => stale.close(resolve));
    const fresh = new OpsServer({ path: `${other}2` }, { api, log: silentLog() });
    await fresh.listen();
    await fresh.close();
  });
});

describe('questions', () => {
  it('health is that of the runtime, not of the network', async () => {
    assert.deepEqual(
      [(await answer('GET', '/healthz')).status, (await answer('GET', '/healthz')).body.status],
      [200, 'ok'],
    );
    ready = false;
    const { status, body } = await answer('GET', '/healthz');
    assert.equal(status, 503);
    assert.equal(body.conditions[0].reason, 'NoRunc');
  });

  it('metrics come as the text that Prometheus scrapes', async () => {
    const reply = await send('GET', '/metrics');
    assert.equal(reply.statusCode, 200);
    assert.equal(reply.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
    assert.equal(await textOf(reply), 'skiff_images 3\n');
  });

  it('version, status, config, reload, operations', async () => {
    assert.equal((await answer('GET', '/version')).body.runtimeVersion, '1.2.3');
    assert.deepEqual((await answer('GET', '/status')).body.info, { config: {} });
    assert.equal((await answer('GET', '/config')).body.log.level, 'info');
    assert.deepEqual((await answer('POST', '/config/reload')).body.applied, ['log.level']);
    assert.deepEqual((await answer('GET', '/operations')).body[0].steps, ['cni add']);
  });
});

describe('wrong requests', () => {
  const table: [
    what: string,
    method: string,
    url: string,
    body: string | undefined,
    status: number,
    error: RegExp,
  ][] = [
    ['an unknown path', 'GET', '/nothing', undefined, 404, /there is no \/nothing; known: \/healthz/],
    ['a wrong method', 'DELETE', '/config', undefined, 405, /\/config takes GET, not DELETE/],
    ['a path that is none', 'GET', '//', undefined, 400, /is no path/],
    ['no body', 'POST', '/images/pull', '', 400, /expected a JSON object/],
    ['a body that is no JSON', 'POST', '/images/pull', '{"image"', 400, /expected a JSON object/],
    ['a body that is no object', 'POST', '/images/pull', '[]', 400, /expected an object|image: expected/],
    ['no image', 'POST', '/images/pull', '{}', 400, /image: expected/],
    ['an empty image', 'POST', '/images/pull', '{"image":""}', 400, /image: expected an image reference/],
    ['an unknown field', 'POST', '/images/pull', '{"image":"a","tag":"b"}', 400, /unknown field tag/],
    [
      'credentials of a wrong type',
      'POST',
      '/images/pull',
      '{"image":"a","auth":{"password":77}}',
      400,
      /auth\.password: expected a text$/,
    ],
    ['an unknown parameter', 'GET', '/journal?sbject=a', undefined, 400, /unknown parameter sbject/],
    ['a wrong number', 'GET', '/journal?after=-1', undefined, 400, /after: expected a whole number/],
    ['a wrong time', 'GET', '/journal?since=yesterday', undefined, 400, /since: expected a time/],
  ];
  for (const [what, method, url, body, status, error] of table) {
    it(what, async () => {
      const reply = await answer(method, url, body);
      assert.equal(reply.status, status);
      assert.match(reply.body.error, error);
      assert.equal(typeof reply.body.code, 'string');
    });
  }

  it('the allowed methods are named', async () => {
    assert.equal((await answer('GET', '/images/pull')).headers.allow, 'POST');
  });

  it('a body without end is cut off with an answer', async () => {
    const socket = connect(path);
    await once(socket, 'connect');
    socket.on('error', () => {});
    socket.write('POST /images/pull HTTP/1.1\r\nhost: a\r\ncontent-length: 100000000\r\n\r\n');
    const received: Buffer[] = [];
    socket.on('data', (chunk) => received.push(chunk));
    const closed = new Promise((resolve) => socket.once('close', resolve));
    const filler = Buffer.alloc(65_536, 'a');
    for (let sent = 0; sent < 64 && !socket.destroyed; sent++) {
      socket.write(filler);
      await sleep(1);
    }
    await closed;
    assert.match(Buffer.concat(received).toString(), /^HTTP\/1\.1 400 [\s\S]*over 1048576 bytes/);
  });

  it('garbage gets 400 and the server lives on', async () => {
    const socket = connect(path);
    socket.end('\x00\x01garbage\r\n\r\n');
    assert.match(Buffer.concat(await socket.toArray()).toString(), /^HTTP\/1\.1 400/);
    assert.equal((await answer('GET', '/version')).status, 200);
  });
});

describe('a pull', () => {
  it('streams progress, then the id', async () => {
    let seen: unknown;
    pullImage = async (_call, image, auth, tell) => {
      seen = { image, auth };
      tell?.(progress('l1', 1));
      await sleep(5);
      tell?.(progress('l1', 2));
      return 'sha256:1';
    };
    const reply = await send(
      'POST',
      '/images/pull',
      '{"image":"busybox","auth":{"username":"u","password":"p"}}',
    );
    assert.equal(reply.headers['content-type'], 'application/x-ndjson');
    const got = await lines(reply);
    assert.deepEqual(got, [
      { progress: progress('l1', 1) },
      { progress: progress('l1', 2) },
      { id: 'sha256:1' },
    ]);
    const none = { auth: '', serverAddress: '', identityToken: '', registryToken: '' };
    assert.deepEqual(seen, { image: 'busybox', auth: { username: 'u', password: 'p', ...none } });
  });

  it('that fails says so in its last line', async () => {
    pullImage = async () => {
      throw new SkiffError('not_found', 'pull busybox: no such image');
    };
    const got = await lines(await send('POST', '/images/pull', '{"image":"busybox"}'));
    assert.deepEqual(got, [{ error: 'pull busybox: no such image', code: 'not_found' }]);
  });

  it('is aborted when the client goes away', async () => {
    const aborted = Promise.withResolvers<void>();
    pullImage = ({ signal }, _image, _auth, tell) =>
      new Promise((_, reject) => {
        tell?.(progress('l1', 1));
        signal.addEventListener('abort', () => {
          reject(signal.reason);
          aborted.resolve();
        });
      });
    const reply = await send('POST', '/images/pull', '{"image":"busybox"}');
    await once(reply, 'data');
    reply.destroy();
    await aborted.promise;
  });

  it('holds no more than the newest state of each layer for a client that does not read', async () => {
    const started = Promise.withResolvers<void>();
    const finish = Promise.withResolvers<void>();
    pullImage = async (_call, _image, _auth, tell) => {
      started.resolve();
      for (let step = 0; step <= 100; step++) {
        for (let burst = 0; burst < 500; burst++) tell?.(progress(`l${burst % 4}`, step));
        await sleep(0);
      }
      await finish.promise;
      return 'sha256:2';
    };
    const reply = await send('POST', '/images/pull', '{"image":"busybox"}');
    reply.pause();
    await started.promise;
    await sleep(300);
    finish.resolve();
    const got = (await lines(reply)) as { progress?: PullProgress; id?: string }[];
    assert.deepEqual(got.at(-1), { id: 'sha256:2' });
    assert.ok(got.length < 101 * 500, `${got.length} lines`);
    for (const layer of ['l0', 'l1', 'l2', 'l3']) {
      assert.equal(got.findLast((line) => line.progress?.layer === layer)?.progress?.current, 100, layer);
    }
  });
});

describe('the journal', () => {
  it('is filtered by subject, sequence and time', async () => {
    const hour = 3_600_000;
    journal = [row(1, 'abc', Date.now() - hour), row(2, 'abd'), row(3, 'xyz')];
    const seqs = async (query: string) =>
      (await textOf(await send('GET', `/journal?${query}`))).match(/"seq":\d/g);
    assert.deepEqual(await seqs('subject=ab'), ['"seq":1', '"seq":2']);
    assert.deepEqual(await seqs('after=2'), ['"seq":3']);
    assert.deepEqual(await seqs('since=10m'), ['"seq":2', '"seq":3']);
    assert.deepEqual(await seqs(`since=${new Date(Date.now() - 2 * hour).toISOString()}&limit=1`), [
      '"seq":3',
    ]);
  });

  it('is followed without a gap or a repeat, until the client leaves', async () => {
    journal = [row(1, 'abc')];
    const reply = await send('GET', '/journal?subject=a&follow=1');
    let text = '';
    reply.on('data', (chunk) => {
      text += chunk;
    });
    await once(reply, 'data');
    for (const fresh of [row(1, 'abc'), row(2, 'xyz'), row(3, 'abd')])
      listeners.forEach((listener) => void listener(fresh));
    await once(reply, 'data');
    assert.deepEqual(text.match(/"seq":\d/g), ['"seq":1', '"seq":3']);
    assert.equal(listeners.size, 1);
    reply.destroy();
    while (listeners.size > 0) await sleep(5);
  });

  it('ends when the daemon does', async () => {
    const reply = await send('GET', '/journal?follow=1');
    const ended = new Promise((resolve) => reply.once('close', resolve));
    reply.on('error', () => {});
    reply.resume();
    await server.close();
    await ended;
  });
});
