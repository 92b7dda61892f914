import assert from 'node:assert/strict';
import { type Duplex, duplexPair } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { FrameDecoder } from '../../../../src/streaming/spdy/decode.ts';
import { encodeControl, encodeDataHead } from '../../../../src/streaming/spdy/encode.ts';
import type { ControlFrame, Frame } from '../../../../src/streaming/spdy/frames.ts';
import { GOAWAY, RST } from '../../../../src/streaming/spdy/frames.ts';
import { HeaderDeflater } from '../../../../src/streaming/spdy/headers.ts';
import { SpdySession } from '../../../../src/streaming/spdy/session.ts';
import type { SpdyStream } from '../../../../src/streaming/spdy/stream.ts';
import { bytes } from './wire.ts';

const MIB = 1024 * 1024;
const typed = (type: string) => new Map([['streamtype', type]]);

/** Two ends of one session; `onStream` takes what the client opens. */
function sessions(onStream: (stream: SpdyStream) => boolean): { client: SpdySession; server: SpdySession } {
  const [near, far] = duplexPair();
  return {
    client: new SpdySession({ role: 'client', onStream: () => false }, { transport: near }),
    server: new SpdySession({ role: 'server', onStream }, { transport: far }),
  };
}

/** A server's session whose peer is us, frame by frame. */
function raw(onStream: (stream: SpdyStream) => boolean = () => true) {
  const [wire, far] = duplexPair();
  const server = new SpdySession({ role: 'server', onStream }, { transport: far });
  const deflater = new HeaderDeflater();
  const decoder = new FrameDecoder();
  const got: Frame[] = [];
  wire.on('data', (chunk: Buffer) => got.push(...decoder.push(chunk)));
  return {
    wire,
    server,
    got,
    send: (frame: ControlFrame) => wire.write(encodeControl(frame)),
    syn: (streamId: number) => {
      const block = deflater.write(typed('data'));
      const flags = { associatedTo: 0, priority: 0, fin: false, unidirectional: false };
      wire.write(encodeControl({ type: 'synStream', streamId, ...flags, block }));
    },
    data: (streamId: number, text: string, fin = false) =>
      wire.write(Buffer.concat([encodeDataHead(streamId, text.length, fin), Buffer.from(text)])),
  };
}

const kinds = (frames: Frame[]) =>
  frames.map((frame) =>
    frame.type === 'rstStream' || frame.type === 'goAway' ? `${frame.type} ${frame.status}` : frame.type,
  );

async function settled(): Promise<void> {
  await sleep(10);
}

describe('a SPDY session', () => {
  it('carries many streams at once, each both ways, each half-closed by itself', async () => {
    const { client } = sessions((stream) => {
      stream.pipe(stream);
      return true;
    });
    const echoes = Array.from({ length: 50 }, async (_, index) => {
      const stream = await client.open(typed('data'));
      const sent = Buffer.alloc(100_000 + index, `${index};`);
      stream.end(sent);
      assert.deepEqual(await buffer(stream), sent);
    });
    await Promise.all(echoes);
    await client.close();
  });

  it('refuses a stream, and tells that to who opens it', async () => {
    const { client } = sessions((stream) => stream.headers.get('streamtype') === 'data');
    await assert.rejects(client.open(typed('nonsense')), /refused/);
    const stream = await client.open(typed('data'));
    stream.destroy();
    await client.close();
  });

  it('rests while a reader rests, and holds 1 MiB at most', async () => {
    const taken = Promise.withResolvers<SpdyStream>();
    const { client } = sessions((stream) => {
      taken.resolve(stream);
      return true;
    });
    const stream = await client.open(typed('data'));
    const chunk = Buffer.alloc(64 * 1024);
    let sent = 0;
    const feed = async () => {
      for (; sent < 64 * MIB; sent += chunk.length)
        if (!stream.write(chunk)) await new Promise((resolve) => stream.once('drain', resolve));
      stream.end();
    };
    const fed = feed();
    await sleep(100);
    assert.ok(sent < MIB, `${sent} bytes went to a reader that rests`);
    let received = 0;
    for await (const part of await taken.promise) received += part.length;
    await fed;
    assert.equal(received, 64 * MIB);
    await client.close();
  });

  it('lets a stream go on whose reader does not want the rest', async () => {
    const streams: SpdyStream[] = [];
    const { client } = sessions((stream) => streams.push(stream) > 0);
    const [unread, read] = [await client.open(typed('data')), await client.open(typed('data'))];
    unread.write(Buffer.alloc(MIB));
    await settled();
    // The connection rests for the sake of the first; what lets go of it sets the second going.
    read.end('through');
    streams[0]?.destroy();
    assert.equal(await text(streams[1] as Duplex), 'through');
    await client.close();
  });

  it('resets what is left when it is closed, and what was written arrives before', async () => {
    const [wire, far] = duplexPair();
    const session = new SpdySession(
      {
        role: 'server',
        onStream: (stream) => {
          stream.end('the last words', () => void session.close());
          return true;
        },
      },
      { transport: far },
    );
    const decoder = new FrameDecoder();
    const got: Frame[] = [];
    wire.on('data', (chunk: Buffer) => got.push(...decoder.push(chunk)));
    wire.write(bytes('syn1'));
    await new Promise((resolve) => wire.once('end', resolve));
    assert.deepEqual(kinds(got), [
      'synReply',
      'data',
      'data',
      `rstStream ${RST.CANCEL}`,
      `goAway ${GOAWAY.OK}`,
    ]);
    assert.equal(got[1]?.type === 'data' && String(got[1].bytes), 'the last words');
    assert.equal(got[2]?.type === 'data' && got[2].fin, true);
    wire.end();
    await session.closed;
  });

  it('ends a stream that the peer resets, and answers nothing', async () => {
    const taken = Promise.withResolvers<SpdyStream>();
    const peer = raw((stream) => {
      taken.resolve(stream);
      return true;
    });
    peer.syn(1);
    peer.data(1, 'abc');
    const stream = await taken.promise;
    const closed = new Promise((resolve) => stream.once('close', resolve));
    peer.send({ type: 'rstStream', streamId: 1, status: RST.CANCEL });
    await closed;
    peer.data(1, 'late');
    await settled();
    assert.deepEqual(kinds(peer.got), ['synReply']);
  });

  it('keeps what came before an end when a reset follows it', async () => {
    const taken = Promise.withResolvers<SpdyStream>();
    const peer = raw((stream) => {
      taken.resolve(stream);
      return true;
    });
    peer.wire.cork();
    peer.syn(1);
    peer.data(1, 'all of it', true);
    peer.send({ type: 'rstStream', streamId: 1, status: RST.CANCEL });
    peer.wire.uncork();
    assert.equal(await text(await taken.promise), 'all of it');
    await settled();
    assert.deepEqual(kinds(peer.got), ['synReply']);
  });

  it('lets what has arrived be read when the connection is lost', async () => {
    const taken = Promise.withResolvers<SpdyStream>();
    const peer = raw((stream) => {
      taken.resolve(stream);
      return true;
    });
    peer.syn(1);
    peer.data(1, 'that much');
    const stream = await taken.promise;
    await settled();
    peer.wire.destroy();
    await settled();
    assert.equal(await text(stream), 'that much');
    await new Promise((resolve) => stream.write('x', resolve));
    assert.equal(stream.destroyed, true);
    await peer.server.closed;
  });

  it('answers PING, and nothing to its own coming back, to SETTINGS and to WINDOW_UPDATE', async () => {
    const peer = raw();
    peer.wire.write(bytes('ping', 'settings', 'window'));
    peer.send({ type: 'ping', id: 2 });
    peer.send({ type: 'ping', id: 3 });
    await settled();
    assert.deepEqual(peer.got, [
      { type: 'ping', id: 1 },
      { type: 'ping', id: 3 },
    ]);
  });

  it('resets what makes no sense, and goes on', async () => {
    const peer = raw();
    peer.syn(3);
    peer.syn(1);
    peer.syn(3);
    peer.data(99, 'never opened');
    peer.send({ type: 'rstStream', streamId: 77, status: 1 });
    peer.send({ type: 'ping', id: 1 });
    await settled();
    assert.deepEqual(kinds(peer.got), [
      'synReply',
      `rstStream ${RST.PROTOCOL_ERROR}`,
      `rstStream ${RST.PROTOCOL_ERROR}`,
      `rstStream ${RST.INVALID_STREAM}`,
      'ping',
    ]);
  });

  for (const [what, hex] of Object.entries({
    garbage: 'ffffffffffffffffffffffff',
    'a stream that is not its to open': '800300010000000a00000002000000000000',
    'headers that cannot be read': '800300010000000e0000000100000000000001020304',
  }))
    it(`says goodbye to a peer that sends ${what}`, async () => {
      const peer = raw();
      peer.wire.write(Buffer.from(hex, 'hex'));
      await new Promise((resolve) => peer.wire.once('end', resolve));
      assert.deepEqual(kinds(peer.got), [`goAway ${GOAWAY.PROTOCOL_ERROR}`]);
      peer.wire.end();
      await peer.server.closed;
    });

  it('breaks off with a peer that asks without listening', async () => {
    const [wire, far] = duplexPair();
    const server = new SpdySession({ role: 'server', onStream: () => true }, { transport: far });
    wire.on('error', () => undefined);
    const pings = Buffer.concat(Array.from({ length: 1000 }, () => bytes('ping')));
    let closed = false;
    void server.closed.then(() => {
      closed = true;
    });
    for (let round = 0; round < 200 && !closed; round++) {
      wire.write(pings);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await server.closed;
  });
});
