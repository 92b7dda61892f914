import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { type Inventory, leaks, takeInventory } from '../harness/leaks.ts';
import { Terminal } from '../harness/terminal.ts';
import { until } from '../harness/until.ts';
import { World } from '../harness/world.ts';

const PROGRAM = join(import.meta.dirname, '../../dist/skiff');

/** skiff's own commands with streams, over TLS with a certificate that the daemon made. */
describe('skiff exec, run and port-forward', () => {
  let world: World;
  let start: Inventory;
  let pod: string;

  before(async () => {
    world = await World.start({ tables: '[streaming]\ntls = true\naddress = "localhost:0"\n' });
    await world.pull();
    start = await takeInventory(world.daemon);
    pod = (await world.runPod('web', ['/bin/httpd', '-f', '-p', '80', '-h', '/www'])).pod;
  });

  after(async () => {
    await world?.[Symbol.asyncDispose]();
  });

  const line = (...args: string[]): [string, string[]] => [
    PROGRAM,
    ['--config', world.daemon.config, ...args],
  ];
  const skiff = async (input: string, ...args: string[]) => {
    const child = spawn(...line(...args), { stdio: 'pipe' });
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
    const ended = new Promise((resolve) => child.once('close', resolve));
    const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
    return { code: await ended, stdout, stderr };
  };
  const terminal = (...args: string[]) => new Terminal(...line(...args), { width: 95, height: 33 });

  it('exec shows output as it comes and passes the exit code on', async () => {
    const shown = terminal('exec', 'web', '--', 'sh', '-c', 'echo first; sleep 1; echo second; exit 5');
    await shown.shows('first');
    assert.ok(!shown.screen.includes('second'));
    assert.equal(await shown.exited, 5);
    const none = await skiff('', 'exec', 'web', '--', 'nonesuch');
    assert.deepEqual([none.code, none.stdout], [127, '']);
  });

  it('exec -i gives stdin, and only -i', async () => {
    const wc = ['web', '--', 'wc', '-c'];
    assert.deepEqual(await skiff('x'.repeat(300_000), 'exec', '-i', ...wc), {
      code: 0,
      stdout: '300000\n',
      stderr: '',
    });
    assert.equal((await skiff('abc', 'exec', ...wc)).stdout, '0\n');
    assert.equal((await skiff('', 'exec', '-i', '--timeout', '1', ...wc)).code, 125);
  });

  it('exec -it gives a terminal, of the size of this one', async () => {
    const shell = terminal('exec', '-it', 'web', '--', 'sh');
    await shell.shows('# ');
    shell.type('stty size\r');
    await shell.shows('33 95');
    shell.resize(88, 22);
    shell.type('stty size; exit 6\r');
    await shell.shows('22 88');
    assert.equal(await shell.exited, 6);
  });

  it('run -i gives stdin to a container', async () => {
    const { code, stdout } = await skiff(
      'one\ntwo\n',
      'run',
      '-i',
      world.image,
      '--',
      'sh',
      '-c',
      'cat; exit 4',
    );
    assert.deepEqual([code, stdout], [4, 'one\ntwo\n']);
  });

  it('run -it shows the first prompt, and ends with the shell', async () => {
    const shell = terminal('run', '-it', world.image, '--', 'sh');
    await shell.shows('# ');
    shell.type('stty size; tty\r');
    await shell.shows('33 95');
    await shell.shows('/dev/pts/0');
    shell.type('exit 3\r');
    assert.equal(await shell.exited, 3);
  });

  it('run -t shows the output of a command that ends at once', async () => {
    for (const flags of ['-t', '-it']) {
      const shown = terminal('run', flags, world.image, '--', 'sh', '-c', 'echo so soon; exit 9');
      assert.equal(await shown.exited, 9);
      assert.match(shown.screen, /so soon/);
    }
  });

  it('port-forward leads to the pod, until Ctrl-C', async () => {
    const forward = terminal('port-forward', 'web', ':80', ':4');
    await until('both ports are open', () => forward.screen.includes('-> 4'));
    const [, port] = /127\.0\.0\.1:(\d+) -> 80/.exec(forward.screen) ?? [];
    const pages = await Promise.all(
      Array.from({ length: 20 }, async () => (await fetch(`http://127.0.0.1:${port}/`)).text()),
    );
    assert.deepEqual([...new Set(pages)], ['hello from skiff\n']);
    const [, closed] = /127\.0\.0\.1:(\d+) -> 4/.exec(forward.screen) ?? [];
    await assert.rejects(fetch(`http://127.0.0.1:${closed}/`));
    await forward.shows('nobody listens there');
    assert.equal((await fetch(`http://127.0.0.1:${port}/`)).status, 200);
    forward.type('\x03');
    assert.equal(await forward.exited, 0);
  });

  it('says what is wrong with a port', async () => {
    for (const wrong of ['0', '80:', 'x', '1:70000']) {
      const { code, stderr } = await skiff('', 'port-forward', 'web', wrong);
      assert.deepEqual([code, /expected \[LOCAL:\]PORT/.test(stderr)], [1, true], stderr);
    }
  });

  it('leave nothing', async () => {
    await world.removePod(pod);
    assert.deepEqual(await leaks(world.daemon, start), []);
  });
});
