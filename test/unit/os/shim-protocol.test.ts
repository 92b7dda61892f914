import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import {
  encodeRequest,
  encodeStdin,
  encodeStdinEnd,
  FRAME,
  FRAME_MAX,
  FrameDecoder,
  PROTOCOL_VERSION,
  type ShimMessage,
  type ShimRequest,
} from '../../../src/os/shim-protocol.ts';

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');

const requests: [ShimRequest, string][] = [
  [{ type: 'hello' }, '01 00000001 01'],
  [{ type: 'kill', signal: 15, all: false }, '02 00000002 0f 00'],
  [{ type: 'kill', signal: 9, all: true }, '02 00000002 09 01'],
  [{ type: 'reopenLog' }, '03 00000000'],
  [{ type: 'resize', width: 300, height: 24 }, '04 00000004 012c 0018'],
  [{ type: 'closeStdin' }, '05 00000000'],
  [{ type: 'attach', stdin: true, stdout: true, stderr: false }, '06 00000001 03'],
  [{ type: 'attach', stdin: false, stdout: false, stderr: true }, '06 00000001 04'],
];

for (const [request, bytes] of requests)
  test(`request ${JSON.stringify(request)}`, () => {
    assert.deepEqual(encodeRequest(request), hex(bytes));
  });

const STATE = hex('81 00000011 00000102 00000007 01 0000000000000005');
const DONE = hex('82 00000005 02 00000003');
const STDOUT = hex('83 00000002 6869');
const STDERR = hex('84 00000000');
const EXIT = hex('85 0000000a 89 01 18a0b1c2d3e4f506');

const messages: ShimMessage[] = [
  { type: 'state', containerPid: 0x102, shimPid: 7, exited: false, lostLogBytes: 5 },
  { type: 'done', request: FRAME.KILL, errno: 3 },
  { type: 'stdout', bytes: Buffer.from('hi') },
  { type: 'stderr', bytes: Buffer.alloc(0) },
  { type: 'exit', exitCode: 137, oomKilled: true, finishedAt: String(0x18a0b1c2d3e4f506n) },
];

test('frames are found however the stream is cut', () => {
  const stream = Buffer.concat([STATE, DONE, STDOUT, STDERR, EXIT]);
  for (let size = 1; size <= stream.length; size++) {
    const decoder = new FrameDecoder();
    const got: ShimMessage[] = [];
    for (let at = 0; at < stream.length; at += size)
      got.push(...decoder.push(stream.subarray(at, at + size)));
    assert.deepEqual(got, messages, `cut every ${size} bytes`);
  }
});

test('input is cut into frames that the shim takes', () => {
  const frames = encodeStdin(Buffer.alloc(FRAME_MAX + 3, 'x'));
  assert.deepEqual(
    frames.map((frame) => frame.subarray(0, 5)),
    [hex('07 00010000'), hex('07 00000003')],
  );
  assert.deepEqual(encodeStdin(Buffer.alloc(0)), []);
  assert.deepEqual(encodeStdinEnd(), hex('08 00000000'));
});

for (const [what, bytes] of [
  ['a frame that is too long', '83 00010001'],
  ['an unknown type', '90 00000000'],
  ['a request', '01 00000001 01'],
  ['a state of the wrong size', '81 00000001 00'],
  ['an exit of the wrong size', '85 00000009 000000000000000000'],
] as const)
  test(`${what} is refused`, () => {
    assert.throws(() => new FrameDecoder().push(hex(bytes)), { name: 'SkiffError', code: 'data_loss' });
  });

test('both sides name the same frames', async () => {
  const header = await readFile(new URL('../../../native/shim/protocol.h', import.meta.url), 'utf8');
  const inHeader = [...header.matchAll(/^ {2}FRAME_(\w+) = (0x\w+),$/gm)].map(([, name, number]) => [
    name,
    Number(number),
  ]);
  assert.deepEqual(inHeader, Object.entries(FRAME));
  assert.match(header, new RegExp(`PROTOCOL_VERSION = ${PROTOCOL_VERSION},`));
  assert.match(header, new RegExp(`FRAME_MAX = ${FRAME_MAX},`));
});
