import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { serve } from './fixture.ts';
import { frame, rawCall, rawConnection, rawSession } from './raw.ts';

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const VERSION = '/runtime.v1.RuntimeService/Version';
const INTERNAL = '13';
const RESOURCE_EXHAUSTED = '8';
const UNIMPLEMENTED = '12';

/** Header of an HTTP/2 frame (RFC 9113, section 4.1). */
function http2Frame(length: number, type: number, flags: number, stream: number): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return head;
}

const SETTINGS = http2Frame(0, 4, 0, 0);

const GARBAGE: Record<string, () => Buffer> = {
  'random bytes': () => randomBytes(64 * 1024),
  'random bytes after the preface': () => Buffer.concat([PREFACE, randomBytes(64 * 1024)]),
  'an HTTP/1 request': () => Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
  'a frame of the largest length': () =>
    Buffer.concat([PREFACE, SETTINGS, http2Frame(0xffffff, 0, 0, 1), randomBytes(1024 * 1024)]),
  'headers that do not decode': () =>
    Buffer.concat([PREFACE, SETTINGS, http2Frame(40, 1, 4, 1), Buffer.alloc(40, 0xff)]),
  'ten thousand streams reset at once': () =>
    Buffer.concat([
      PREFACE,
      SETTINGS,
      ...Array.from({ length: 10_000 }, (_, n) =>
        Buffer.concat([
          http2Frame(1, 1, 4, 2 * n + 1),
          Buffer.from([0x82]),
          http2Frame(4, 3, 0, 2 * n + 1),
          Buffer.alloc(4),
        ]),
      ),
    ]),
};

describe('garbage on the CRI socket', () => {
  for (const [what, bytes] of Object.entries(GARBAGE)) {
    it(`is cut off: ${what}`, async (t) => {
      const { socket, client } = await serve(t, {});
      for (let round = 0; round < 5; round++) {
        const raw = await rawConnection(socket);
        raw.write(bytes());
        await Promise.race([new Promise((resolve) => raw.once('close', resolve)), sleep(200)]);
        raw.destroy();
      }
      assert.equal((await client.runtime.Version({})).runtime_name, 'skiff');
    });
  }

  it('does not keep others from being served while it stays connected', async (t) => {
    const { socket, client, server } = await serve(t, {});
    const silent = await Promise.all(Array.from({ length: 200 }, () => rawConnection(socket)));
    const half = await rawConnection(socket);
    half.write(PREFACE.subarray(0, 10));
    const headless = await rawConnection(socket);
    headless.write(Buffer.concat([PREFACE, SETTINGS, http2Frame(100, 1, 4, 1).subarray(0, 5)]));
    const ended = await rawConnection(socket);
    ended.end();
    assert.equal((await client.runtime.Version({})).runtime_name, 'skiff');
    const began = performance.now();
    await server.stop();
    assert.ok(performance.now() - began < 2000, 'silent connections do not hold the server');
    for (const socket of [...silent, half, headless]) socket.destroy();
  });

  it('in a well-formed stream gets a status', async (t) => {
    const { socket, client } = await serve(t, { listContainers: () => [] });
    const session = rawSession(socket);
    t.after(() => session.destroy());
    const list = '/runtime.v1.RuntimeService/ListContainers';
    // Field 1 says five bytes and has two.
    assert.equal((await rawCall(session, list, frame(Buffer.from([0x0a, 5, 1, 1])))).status, INTERNAL);
    assert.equal((await rawCall(session, VERSION, Buffer.alloc(0))).status, UNIMPLEMENTED);
    assert.equal(
      (await rawCall(session, '/runtime.v1.RuntimeService/NoSuch', frame(Buffer.alloc(0)))).status,
      UNIMPLEMENTED,
    );
    assert.equal((await rawCall(session, '/no', frame(Buffer.alloc(0)))).status, UNIMPLEMENTED);
    const huge = Buffer.alloc(5);
    huge.writeUInt32BE(0xffffffff, 1);
    assert.equal((await rawCall(session, VERSION, huge)).status, RESOURCE_EXHAUSTED);
    assert.equal(
      (await rawCall(session, VERSION, frame(Buffer.alloc(0)), { 'grpc-timeout': 'soon' })).status,
      INTERNAL,
    );
    const bomb = frame(gzipSync(Buffer.alloc(64 * 1024 * 1024)));
    bomb.writeUInt8(1, 0);
    assert.equal(
      (await rawCall(session, VERSION, bomb, { 'grpc-encoding': 'gzip' })).status,
      RESOURCE_EXHAUSTED,
    );
    assert.equal((await client.runtime.Version({})).runtime_name, 'skiff');
  });

  it('leaves calls of others alone', async (t) => {
    const release = Promise.withResolvers<void>();
    const { socket, client } = await serve(t, { startContainer: () => release.promise });
    const call = client.runtime.StartContainer({ container_id: 'x' });
    for (const bytes of Object.values(GARBAGE)) {
      const raw = await rawConnection(socket);
      raw.write(bytes());
      await sleep(20);
      raw.destroy();
    }
    release.resolve();
    assert.deepEqual(await call, {});
  });
});
