import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { buffer, text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ShimStart } from '../../../src/os/shim.ts';
import { encodeRequest, encodeStdin } from '../../../src/os/shim-protocol.ts';
import { isRunning, readLog, ShimBox, until } from './shim-box.ts';

let box: ShimBox;
before(async () => {
  box = await ShimBox.make();
});
after(() => box.remove());

const ALL = { stdin: true, stdout: true, stderr: true };

async function rawClient(plan: ShimStart): Promise<Socket> {
  const socket = connect(`${plan.stateDir}/shim.sock`);
  await new Promise((resolve) => socket.once('connect', resolve));
  socket.on('error', () => undefined);
  return socket;
}

test('attach: both output streams, input, and stdin once ends the input', async () => {
  const plan = await box.plan('cat; echo bye >&2', { stdin: true, stdinOnce: true });
  const shim = await box.start(plan);
  const attached = await shim.attach(ALL);
  attached.stdin?.end('hello\n');
  assert.equal(await text(attached.stdout!), 'hello\n');
  assert.equal(await text(attached.stderr!), 'bye\n');
  assert.equal((await shim.exited)?.exitCode, 0);
  await attached.closed;
  assert.deepEqual(
    (await readLog(plan.logPath)).map((line) => line.text),
    ['hello', 'bye'],
  );
});

test('without stdin once, input goes on in the next client, until closeStdin', async () => {
  const plan = await box.plan('cat', { stdin: true });
  const shim = await box.start(plan);
  for (const word of ['one', 'two']) {
    const attached = await shim.attach({ stdin: true, stdout: true, stderr: false });
    attached.stdin?.end(`${word}\n`);
    attached.stdout?.once('data', () => attached.close());
    await attached.closed;
  }
  await shim.closeStdin();
  assert.equal((await shim.exited)?.exitCode, 0);
  assert.deepEqual(
    (await readLog(plan.logPath)).map((line) => line.text),
    ['one', 'two'],
  );
});

test('4 MiB through cat arrive whole, also with a client that goes before they are read', async () => {
  const bytes = randomBytes(4 << 20);
  const hash = (data: Uint8Array) => createHash('sha256').update(data).digest('hex');
  const plan = await box.plan('cat', { stdin: true, stdinOnce: true, logPath: '' });
  const attached = await (await box.start(plan)).attach({ stdin: true, stdout: true, stderr: false });
  attached.stdin?.end(bytes);
  assert.equal(hash(await buffer(attached.stdout!)), hash(bytes));

  const slow = await box.plan('sleep 0.5; cat >/tmp/taken', { stdin: true, stdinOnce: true });
  const shim = await box.start(slow);
  const socket = await rawClient(slow);
  const frames = encodeStdin(bytes.subarray(0, 300_000));
  socket.end(
    Buffer.concat([encodeRequest({ type: 'attach', stdin: true, stdout: false, stderr: false }), ...frames]),
  );
  assert.equal((await shim.exited)?.exitCode, 0);
  const taken = await readFile(`${box.directory}/rootfs/tmp/taken`);
  assert.equal(taken.length, 300_000);
  assert.equal(hash(taken), hash(bytes.subarray(0, 300_000)));
});

test('a client that never reads is dropped and the container writes on', async () => {
  const plan = await box.plan(`echo ready; sleep 0.3; yes ${'x'.repeat(99)} | head -c 20000000`);
  const shim = await box.start(plan);
  const dead = await rawClient(plan);
  dead.pause();
  dead.write(encodeRequest({ type: 'attach', stdin: false, stdout: true, stderr: true }));
  const reader = await shim.attach({ stdin: false, stdout: true, stderr: false });
  const start = performance.now();
  const read = buffer(reader.stdout!);
  assert.equal((await shim.exited)?.exitCode, 0);
  console.log(`# 20 MB past a dead reader in ${(performance.now() - start).toFixed(0)} ms`);
  assert.ok((await read).length >= 20_000_000, 'the client that reads gets all of it');
  assert.equal((await readLog(plan.logPath)).length, 1 + 20_000_000 / 100);
  dead.resume();
  await new Promise((resolve) => (dead.closed ? resolve(null) : dead.once('close', resolve)));
});

test('a client that breaks the protocol is dropped, and nothing else happens', async () => {
  const plan = await box.plan('sleep 100');
  const shim = await box.start(plan);
  const bad = [
    'GET / HTTP/1.1\r\n\r\n',
    Buffer.from('0100010001', 'hex'),
    Buffer.from('7f00000000', 'hex'),
    Buffer.from('0100000001ff', 'hex'),
    Buffer.from('020000000109', 'hex'),
    Buffer.from('0700000001aa', 'hex'),
    Buffer.from('060000000100', 'hex'),
    randomBytes(100_000).fill(0xff, 0, 1),
  ];
  for (const bytes of bad) {
    const socket = await rawClient(plan);
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.resume().write(bytes);
    await closed;
  }
  await rawClient(plan).then((socket) => socket.destroy());
  await shim.reopenLog();
  assert.ok(await isRunning(shim.containerPid));
});

test('more clients than the shim takes: the rest are turned away, the first stay', async () => {
  const plan = await box.plan('sleep 100');
  const shim = await box.start(plan);
  const sockets = await Promise.all(Array.from({ length: 80 }, () => rawClient(plan)));
  await until(() => sockets.filter((socket) => socket.resume().destroyed).length === 17, 'refusals');
  await shim.reopenLog();
  for (const socket of sockets) socket.destroy();
});

test('a terminal: its size, input, and everything as stdout', async () => {
  const plan = await box.plan('read go; stty size; echo err >&2; read end', { tty: true, stdin: true });
  const shim = await box.start(plan);
  const attached = await shim.attach({ stdin: true, stdout: true, stderr: false });
  let seen = '';
  attached.stdout?.setEncoding('utf8').on('data', (chunk) => {
    seen += chunk;
  });
  await shim.resize(132, 43);
  attached.stdin?.write('go\n');
  await until(() => seen.includes('err'), `output of the terminal`);
  await shim.closeStdin();
  assert.ok(await isRunning(shim.containerPid), 'a terminal keeps its stdin');
  attached.stdin?.write('end\n');
  assert.equal((await shim.exited)?.exitCode, 0);
  assert.equal(seen, 'go\r\n43 132\r\nerr\r\nend\r\n');
  assert.deepEqual(
    (await readLog(plan.logPath)).map(({ stream, tag, text }) => [stream, tag, text]),
    ['go', '43 132', 'err', 'end'].map((line) => ['stdout', 'F', line]),
  );
});

test('the first client of a terminal sees what it has missed, and only the first', async () => {
  const plan = await box.plan('seq 1 9999; printf "prompt> "; read end', { tty: true, stdin: true });
  const shim = await box.start(plan);
  await sleep(300);
  const seen = ['', ''];
  for (const client of [0, 1]) {
    const attached = await shim.attach({ stdin: true, stdout: true, stderr: false });
    attached.stdout?.setEncoding('utf8').on('data', (chunk) => {
      seen[client] += chunk;
    });
    if (client === 0) await until(() => seen[0]?.endsWith('prompt> ') ?? false, 'the prompt');
    else attached.stdin?.write('end\n');
  }
  assert.equal((await shim.exited)?.exitCode, 0);
  assert.match(seen[0] ?? '', /9998\r\n9999\r\nprompt> /);
  assert.ok((seen[0] ?? '').length < 17_000, 'its end only');
  assert.doesNotMatch(seen[1] ?? '', /prompt/);
});

test('a terminal that nobody has open for a while costs no time and goes on later', async () => {
  const script = 'exec <&- >&- 2>&-; sleep 0.6; exec >/dev/pts/0; echo back; sleep 0.2';
  const plan = await box.plan(script, { tty: true });
  const shim = await box.start(plan);
  await sleep(400);
  const stat = (await readFile(`/proc/${shim.shimPid}/stat`, 'utf8')).split(') ')[1]?.split(' ') ?? [];
  assert.ok(Number(stat[11]) + Number(stat[12]) < 10, 'less than 100 ms of processor time');
  const start = performance.now();
  assert.equal((await shim.exited)?.exitCode, 0);
  assert.ok(performance.now() - start < 1500, 'its end is seen at once');
  assert.deepEqual(
    (await readLog(plan.logPath)).map((line) => line.text),
    ['back'],
  );
});

test('a container without a terminal cannot be resized', async () => {
  const shim = await box.start(await box.plan('sleep 100'));
  await assert.rejects(shim.resize(80, 24), { code: 'failed_precondition' });
});
