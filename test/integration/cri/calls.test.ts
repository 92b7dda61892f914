import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isCode, SkiffError } from '../../../src/base/errors.ts';
import { silentLog } from '../../../src/base/log.ts';
import { message } from '../../../src/cri/proto.ts';
import type { ContainerEvent } from '../../../src/service/api.ts';
import { Events } from '../../../src/service/events.ts';
import { sandboxRow } from '../../unit/cri/fixtures.ts';
import { serve, waiting } from './fixture.ts';
import { eventually, frame, rawCall, rawSession } from './raw.ts';

const DEADLINE_EXCEEDED = '4';
const PULL = '/runtime.v1.ImageService/PullImage';
const EVENT: ContainerEvent = {
  containerId: 'x',
  type: 'started',
  createdAt: '1',
  sandbox: sandboxRow(),
  containers: [],
};

describe('errors of a call', () => {
  it('come as status codes with their message', async (t) => {
    const { client } = await serve(t, {
      containerStatus: async () => {
        throw new SkiffError('not_found', 'find container ü\n%41: there is none');
      },
      startContainer: async () => {
        throw new TypeError('x is not a function');
      },
      stopPodSandbox: async () => {
        throw Object.assign(new Error('write failed'), { code: 'ENOSPC' });
      },
      listContainers: () => {
        throw new SkiffError('unavailable', 'starting');
      },
    });
    const { runtime } = client;
    await assert.rejects(runtime.ContainerStatus({ container_id: 'x' }), (error: unknown) => {
      assert.ok(isCode(error, 'not_found'));
      assert.equal(error.message, 'find container ü\n%41: there is none');
      return true;
    });
    const cases = [
      [runtime.StartContainer({ container_id: 'x' }), 'internal', 'x is not a function'],
      [runtime.StopPodSandbox({ pod_sandbox_id: 'x' }), 'resource_exhausted', 'write failed'],
      [runtime.ListContainers({}), 'unavailable', 'starting'],
    ] as const;
    for (const [call, code, text] of cases)
      await assert.rejects(call, (error: unknown) => isCode(error, code) && error.message.includes(text));
  });

  it('are logged once, with the level of their kind, and without secrets', async (t) => {
    const { client, logLines, logText, calls } = await serve(
      t,
      {
        listContainers: () => [],
        startContainer: async () => {},
        removeContainer: async () => {
          throw new SkiffError('failed_precondition', 'busy');
        },
        reopenContainerLog: async () => {
          throw new Error('boom');
        },
      },
      {
        pullImage: async () => {
          throw new SkiffError('unauthenticated', 'pull x: the registry wants other credentials');
        },
      },
    );
    await client.runtime.ListContainers({});
    await client.runtime.StartContainer({ container_id: 'ctr1' });
    await client.runtime.RemoveContainer({ container_id: 'ctr1' }).catch(() => {});
    await client.runtime.ReopenContainerLog({ container_id: 'ctr1' }).catch(() => {});
    const auth = {
      username: 'me',
      password: 'hunter2',
      auth: 'aHVudGVyMg==',
      identity_token: 'tok-1',
      registry_token: 'tok-2',
    };
    await client.images.PullImage({ image: { image: 'busybox' }, auth }).catch(() => {});
    const lines = logLines().filter((line) => line.method !== undefined);
    assert.deepEqual(
      lines.map((line) => [line.method, line.level, line.code, line.container ?? line.image]),
      [
        ['ListContainers', 20, 'ok', undefined],
        ['StartContainer', 30, 'ok', 'ctr1'],
        ['RemoveContainer', 40, 'failed_precondition', 'ctr1'],
        ['ReopenContainerLog', 50, 'internal', 'ctr1'],
        ['PullImage', 40, 'unauthenticated', 'busybox'],
      ],
    );
    assert.equal(new Set(lines.map((line) => line.call)).size, lines.length, 'ids are distinct');
    for (const secret of ['hunter2', 'aHVudGVyMg', 'tok-1', 'tok-2'])
      assert.ok(!logText().includes(secret), secret);
    assert.deepEqual(
      calls.map(({ method, code }) => `${method} ${code}`),
      lines.map((line) => `${line.method} ${line.code}`),
    );
    assert.ok(calls.every(({ ms }) => ms >= 0 && ms < 5000));
  });
});

describe('the deadline of a call', () => {
  it('aborts the work with a TimeoutError and is answered by the server', async (t) => {
    const { work, reason } = waiting();
    const { socket, logLines } = await serve(t, { startContainer: work });
    const session = rawSession(socket);
    t.after(() => session.destroy());
    const body = frame(message('StartContainerRequest').serialize({ container_id: 'x' }));
    const answer = await rawCall(session, '/runtime.v1.RuntimeService/StartContainer', body, {
      'grpc-timeout': '60m',
    });
    assert.equal(answer.status, DEADLINE_EXCEEDED);
    const error = await reason;
    assert.equal(error.name, 'TimeoutError');
    assert.equal(SkiffError.from(error).code, 'deadline_exceeded');
    await eventually('the call is logged', () =>
      logLines().some((line) => line.method === 'StartContainer' && line.code === 'deadline_exceeded'),
    );
  });

  it('of a millisecond is exceeded even where the answer is at hand', async (t) => {
    const { socket, client, calls } = await serve(t, {}, { pullImage: async () => 'sha256:1' });
    const session = rawSession(socket);
    t.after(() => session.destroy());
    const body = frame(message('PullImageRequest').serialize({ image: { image: 'busybox' } }));
    // The forms in which Go sends what is left of a millisecond.
    for (const timeout of ['1m', '1000u', '987654n', '1n', '0n']) {
      for (let round = 0; round < 20; round++) {
        const answer = await rawCall(session, PULL, body, { 'grpc-timeout': timeout });
        assert.equal(answer.status, DEADLINE_EXCEEDED, timeout);
      }
    }
    await assert.rejects(
      client.images.PullImage({ image: { image: 'busybox' } }, { timeoutMs: 1 }),
      (error: unknown) => isCode(error, 'deadline_exceeded'),
    );
    const pulled = await client.images.PullImage({ image: { image: 'busybox' } }, { timeoutMs: 10_000 });
    assert.equal(pulled.image_ref, 'sha256:1');
    assert.equal(calls.filter(({ code }) => code === 'ok').length, 1);
  });

  it('of months leaves the work its time', async (t) => {
    const done = Promise.withResolvers<void>();
    const aborted: boolean[] = [];
    const { socket } = await serve(t, {
      stopContainer: async ({ signal }) => {
        await done.promise;
        aborted.push(signal.aborted);
      },
    });
    const session = rawSession(socket);
    t.after(() => session.destroy());
    const body = frame(message('StopContainerRequest').serialize({ container_id: 'x', timeout: 2_592_000 }));
    const path = '/runtime.v1.RuntimeService/StopContainer';
    // From the longest that grpc-js holds to the longest that there is.
    const calls = ['2147483S', '2147484S', '2592120S', '4294968S', '99999999H'].map((timeout) =>
      rawCall(session, path, body, { 'grpc-timeout': timeout }),
    );
    await sleep(50);
    done.resolve();
    for (const { status } of await Promise.all(calls)) assert.equal(status, '0');
    assert.deepEqual(aborted, [false, false, false, false, false]);
  });

  it('is answered although the work does not heed its signal, whose late failure is logged', async (t) => {
    const late = Promise.withResolvers<void>();
    const { client, server, logLines } = await serve(t, { startContainer: () => late.promise });
    await assert.rejects(
      client.runtime.StartContainer({ container_id: 'x' }, { timeoutMs: 50 }),
      (error: unknown) => isCode(error, 'deadline_exceeded'),
    );
    await eventually('the call is over', () => server.running === 0);
    late.reject(new Error('came to nothing'));
    await eventually('the late failure is logged', () =>
      logLines().some((line) => line.error === 'came to nothing' && line.level === 40),
    );
  });
});

describe('a caller that goes away', () => {
  it('aborts the work with an AbortError when it cancels', async (t) => {
    const { work, reason } = waiting();
    const { client, server, logLines } = await serve(t, { startContainer: work });
    const cancel = new AbortController();
    const call = client.runtime.StartContainer({ container_id: 'x' }, { signal: cancel.signal });
    await eventually('the call runs', () => server.running === 1);
    cancel.abort();
    await assert.rejects(call, (error: unknown) => isCode(error, 'canceled'));
    assert.equal(SkiffError.from(await reason).code, 'canceled');
    await eventually('the call is logged', () => logLines().some((line) => line.code === 'canceled'));
    assert.equal(server.running, 0);
  });

  it('aborts the work when its connection is cut', async (t) => {
    const { work, reason } = waiting();
    const { socket, server, client } = await serve(t, { startContainer: work });
    const session = rawSession(socket);
    const body = frame(message('StartContainerRequest').serialize({ container_id: 'x' }));
    const call = rawCall(session, '/runtime.v1.RuntimeService/StartContainer', body);
    await eventually('the call runs', () => server.running === 1);
    session.destroy();
    assert.equal(SkiffError.from(await reason).code, 'canceled');
    await call;
    await eventually('the call is over', () => server.running === 0);
    await client.runtime.Version({});
  });
});

describe('the event stream', () => {
  it('brings events until its client cancels, and leaves no subscriber', async (t) => {
    const events = new Events({}, { log: silentLog() });
    const { client, server, calls } = await serve(t, {
      containerEvents: (signal) => events.subscribe(signal),
    });
    const end = new AbortController();
    const seen: string[] = [];
    const reading = (async () => {
      for await (const event of client.runtime.GetContainerEvents({}, { signal: end.signal }))
        seen.push(event.container_id);
    })();
    await eventually('somebody reads', () => events.subscribers === 1);
    for (let n = 0; n < 100; n++) events.emit({ ...EVENT, containerId: `${n}` });
    await eventually('all have come', () => seen.length === 100);
    assert.deepEqual(seen, [...Array(100).keys()].map(String));
    end.abort();
    await reading;
    await eventually('the subscriber is gone', () => events.subscribers === 0);
    await eventually('the call is over', () => server.running === 0);
    assert.deepEqual(
      calls.map(({ code }) => code),
      ['canceled'],
    );
  });

  it('reads no more from its source than a client takes', async (t) => {
    let taken = 0;
    const big = { ...EVENT, sandbox: { ...EVENT.sandbox, runtimeHandler: 'x'.repeat(100_000) } };
    const { socket } = await serve(t, {
      containerEvents: async function* () {
        for (; taken < 2000; taken++) yield big;
      },
    });
    const session = rawSession(socket);
    t.after(() => session.destroy());
    const stream = session.request({
      ':method': 'POST',
      ':path': '/runtime.v1.RuntimeService/GetContainerEvents',
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.on('error', () => {});
    stream.end(frame(Buffer.alloc(0)));
    await eventually('the stream stands', () => taken > 0);
    await sleep(300);
    assert.ok(taken < 50, `${taken} of 2000 were taken`);
    let bytes = 0;
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    await eventually('the rest comes when it is read', () => bytes > 2000 * 100_000);
  });

  it('ends with the error of its source, and with UNAVAILABLE when the server stops', async (t) => {
    const { client } = await serve(t, {
      containerEvents: async function* () {
        yield EVENT;
        throw new SkiffError('data_loss', 'read events: gone');
      },
    });
    const seen: string[] = [];
    const read = async (from: typeof client): Promise<void> => {
      for await (const event of from.runtime.GetContainerEvents({})) seen.push(event.container_id);
    };
    await assert.rejects(read(client), (error: unknown) => isCode(error, 'data_loss'));
    assert.deepEqual(seen, ['x']);

    const events = new Events({}, { log: silentLog() });
    const other = await serve(t, { containerEvents: (signal) => events.subscribe(signal) });
    const reading = read(other.client);
    const refused = assert.rejects(reading, (error: unknown) => isCode(error, 'unavailable'));
    await eventually('somebody reads', () => events.subscribers === 1);
    const began = performance.now();
    await other.server.stop();
    assert.ok(performance.now() - began < 200, 'streams do not take up the time that calls get');
    await refused;
  });
});

describe('a server that stops', () => {
  it('lets calls end that can, and aborts what does not end within the bound', async (t) => {
    const done = Promise.withResolvers<void>();
    const { work, reason } = waiting();
    const { client, server } = await serve(t, { startContainer: () => done.promise, stopPodSandbox: work });
    const ends = client.runtime.StartContainer({ container_id: 'x' });
    const hangs = assert.rejects(client.runtime.StopPodSandbox({ pod_sandbox_id: 'x' }), (error: unknown) =>
      isCode(error, 'unavailable'),
    );
    await eventually('both run', () => server.running === 2);
    const began = performance.now();
    const stopped = server.stop();
    await sleep(50);
    done.resolve();
    assert.deepEqual(await ends, {});
    await stopped;
    const took = performance.now() - began;
    assert.ok(took >= 290 && took < 2000, `${took} ms`);
    await hangs;
    assert.equal(SkiffError.from(await reason).code, 'unavailable');
  });
});
