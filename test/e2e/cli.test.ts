import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { TestDaemon } from '../harness/daemon.ts';
import { type Inventory, leaks, takeInventory } from '../harness/leaks.ts';
import { busyboxImage, TestRegistry } from '../harness/registry.ts';

/**
 * skiff's own commands against a daemon of its own, each as a process, as a
 * user calls them. Needs root; run through scripts/private.sh.
 */

const PROGRAM = join(import.meta.dirname, '../../dist/skiff');

interface Done {
  code: number | null;
  stdout: string;
  stderr: string;
}

let daemon: TestDaemon;
let registry: TestRegistry;
let image: string;
let atStart: Inventory;

/** A running command; `done` resolves at its end. */
function start(...args: string[]): { child: ChildProcess; out: () => string; done: Promise<Done> } {
  const child = spawn(PROGRAM, ['--config', daemon.config, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk) => (stdout += chunk));
  child.stderr?.on('data', (chunk) => (stderr += chunk));
  const done = new Promise<Done>((resolve) =>
    child.once('close', (code) => resolve({ code, stdout, stderr })),
  );
  return { child, out: () => stdout, done };
}

function skiff(...args: string[]): Promise<Done> {
  return start(...args).done;
}

/** The output of a command that must succeed. */
async function output(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await skiff(...args);
  assert.equal(code, 0, `skiff ${args.join(' ')}: ${stderr}`);
  return stdout;
}

async function until(what: string, test: () => Promise<boolean> | boolean): Promise<void> {
  for (let tries = 0; tries < 400; tries++) {
    if (await test()) return;
    await sleep(25);
  }
  assert.fail(`never: ${what}`);
}

async function nothingLeft(): Promise<void> {
  const { containers } = await daemon.cri.runtime.ListContainers({});
  const { items } = await daemon.cri.runtime.ListPodSandbox({});
  assert.deepEqual([containers, items], [[], []]);
  assert.deepEqual(await readdir(join(daemon.root, 'logs')), []);
}

before(async () => {
  const layouts = await mkdtemp(join(tmpdir(), 'sk-image-'));
  registry = await TestRegistry.start();
  await registry.push(await busyboxImage(layouts), 'busybox:latest');
  await rm(layouts, { recursive: true });
  image = `${registry.host}/busybox:latest`;
  daemon = await TestDaemon.start();
  atStart = await takeInventory(daemon);
});

after(async () => {
  await skiff('rmi', image);
  assert.deepEqual(await leaks(daemon, atStart), []);
  assert.equal(await daemon.terminate(), 0, 'the daemon ends cleanly');
  assert.equal(existsSync(daemon.socket), false);
  assert.equal(existsSync(daemon.opsSocket), false);
  await daemon[Symbol.asyncDispose]();
  await registry.stop();
});

describe('skiff run', () => {
  it('pulls what is missing, shows the output, passes the code on, leaves nothing', async () => {
    const command = 'echo out; echo err >&2; exit 7';
    const { code, stdout, stderr } = await skiff('run', image, '--', 'sh', '-c', command);
    assert.equal(stdout, 'out\n');
    assert.match(stderr, /busybox:latest: resolving\n/);
    assert.match(stderr, /[0-9a-f]{12}: fetching \([\d.]+ [KM]?i?B\)\n/);
    assert.match(stderr, /\nerr\n$/);
    assert.equal(code, 7);
    await nothingLeft();
  });

  it('shows every byte of much output', async () => {
    const { code, stdout } = await skiff('run', image, '--', 'sh', '-c', 'seq 1 20000; printf end');
    assert.equal(code, 0);
    const expected = Array.from({ length: 20_000 }, (_, index) => `${index + 1}\n`).join('');
    assert.ok(stdout.startsWith(expected) && stdout.trimEnd().endsWith('end'), `${stdout.length} bytes`);
  });

  it('gives environment, mounts and a name', async () => {
    await writeFile(join(daemon.directory, 'shared'), 'from the host\n');
    const stdout = await output(
      ...[
        'run',
        '--name',
        'named',
        '-e',
        'WHO=me',
        '-v',
        `${daemon.directory}/shared:/shared:ro`,
        image,
        '--',
      ],
      ...['sh', '-c', 'hostname; echo $WHO; cat /shared; echo x 2>/dev/null >/shared || echo read-only'],
    );
    assert.equal(stdout, 'named\nme\nfrom the host\nread-only\n');
  });

  it('runs with another runtime handler', async () => {
    assert.equal(await output('run', '--runtime', 'crun', image, '--', 'echo', 'hi'), 'hi\n');
  });

  const failures: [what: string, args: () => string[], code: number, stderr: RegExp][] = [
    ['a command that is not there', () => [image, '--', 'no-such-command'], 127, /skiff: .*no-such-command/],
    ['a file that is no program', () => [image, '--', '/etc/passwd'], 126, /skiff: .*permission denied/],
    ['a runtime that is not configured', () => ['--runtime', 'kata', image], 125, /skiff: .*kata/],
    ['an image that is not there', () => [`${registry.host}/nothing:1`], 125, /skiff: .*nothing/],
    ['a wrong port', () => ['-p', '80', image], 125, /-p: expected/],
    ['a name that is none', () => ['--name', 'a b', image], 125, /--name: expected at most 63 letters/],
    [
      'a port with the network of the host',
      () => ['--host-network', '-p', '8:8', image],
      125,
      /-p: a pod with/,
    ],
    ['a wrong option', () => ['--frob', image], 125, /unknown option '--frob'/],
  ];
  for (const [what, args, code, stderr] of failures) {
    it(`${what} is ${code}`, async () => {
      const done = await skiff('run', ...args());
      assert.deepEqual([done.code, done.stdout], [code, ''], done.stderr);
      assert.match(done.stderr, stderr);
      await nothingLeft();
    });
  }

  it('stops on Ctrl-C and removes all', async () => {
    const command = "trap 'echo stopping; exit 3' TERM; echo started; while :; do sleep 0.1; done";
    const running = start('run', image, '--', 'sh', '-c', command);
    await until('it has started', () => running.out().includes('started'));
    running.child.kill('SIGINT');
    const { code, stdout } = await running.done;
    assert.deepEqual([code, stdout], [3, 'started\nstopping\n']);
    await nothingLeft();
  });

  it('goes on while the daemon is killed and started again', async () => {
    const command = 'echo started; while [ ! -e /go ]; do sleep 0.1; done; echo over; exit 5';
    const running = start('run', '--name', 'patient', image, '--', 'sh', '-c', command);
    await until('it has started', () => running.out().includes('started'));
    await daemon.kill();
    await sleep(1500);
    await daemon.start();
    await output('exec', 'patient', '--', 'touch', '/go');
    const { code, stdout, stderr } = await running.done;
    assert.deepEqual([code, stdout], [5, 'started\nover\n']);
    assert.match(stderr, /the daemon went away; waiting for it to come back/);
    await nothingLeft();
  });

  it('kills at the second Ctrl-C', async () => {
    const command = "trap '' TERM; echo started; while :; do sleep 0.1; done";
    const running = start('run', image, '--', 'sh', '-c', command);
    await until('it has started', () => running.out().includes('started'));
    running.child.kill('SIGINT');
    await sleep(300);
    running.child.kill('SIGINT');
    assert.equal((await running.done).code, 137);
    await nothingLeft();
  });
});

describe('a pod that is left running', () => {
  let id: string;
  before(async () => {
    const command =
      'echo first; echo second; httpd -p 80 -h /www; i=0; while :; do echo line $i; i=$((i+1)); sleep 0.2; done';
    id = (
      await output('run', '-d', '--name', 'web', '-p', '18080:80', image, '--', 'sh', '-c', command)
    ).trim();
  });
  after(async () => {
    await output('rm', '-f', 'web');
    await nothingLeft();
  });

  it('is listed', async () => {
    const [header, line, ...rest] = (await output('ps')).trimEnd().split('\n');
    assert.match(header!, /^CONTAINER +IMAGE +STATE +AGE +NAME +ATTEMPT +POD$/);
    assert.match(line!, new RegExp(`^${id.slice(0, 12)} +${image} +running +\\d+s +web +0 +default/web$`));
    assert.deepEqual(rest, []);
    assert.match(await output('pods'), /default\/web +ready +\d+s +10\.99\.0\.\d+ +1 +\(default\)/);
    assert.equal((await output('ps', '-q')).trim(), id);
    assert.equal(JSON.parse(await output('ps', '--json'))[0].id, id);
  });

  it('answers on its address and on the port of the host', async () => {
    const { ip } = JSON.parse(await output('inspect', 'default/web')).status.network;
    assert.equal(await (await fetch(`http://${ip}/`)).text(), 'hello from skiff\n');
    const { host, text } = await viaHostPort(18080);
    assert.equal(text, 'hello from skiff\n', host);
  });

  it('shows its log, the end of it, with times', async () => {
    assert.match(await output('logs', 'web'), /^first\nsecond\nline 0\n/);
    assert.match(await output('logs', '--tail', '1', id.slice(0, 8)), /^line \d+\n$/);
    const [first] = (await output('logs', '-t', 'web')).split('\n');
    assert.match(first!, /^\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d) first$/);
  });

  it('is followed across a rotation without losing a line', async () => {
    const following = start('logs', '-f', 'web');
    await until('some lines', () => following.out().includes('line 1\n'));
    const { status } = JSON.parse(await output('inspect', id));
    await rename(status.log_path, `${status.log_path}.1`);
    await sleep(500);
    await daemon.cri.runtime.ReopenContainerLog({ container_id: id });
    const count = () => following.out().match(/^line \d+$/gm)?.length ?? 0;
    const before = count();
    await until('more lines', () => count() > before + 4);
    following.child.kill('SIGTERM');
    await following.done;
    const numbers =
      following
        .out()
        .match(/^line \d+$/gm)
        ?.map((line) => Number(line.slice(5))) ?? [];
    assert.deepEqual(
      numbers,
      numbers.map((_, index) => index),
    );
  });

  it('runs further commands', async () => {
    const done = await skiff('exec', 'web', '--', 'sh', '-c', 'echo $0 out; echo err >&2; exit 9', 'arg');
    assert.deepEqual(done, { code: 9, stdout: 'arg out\n', stderr: 'err\n' });
    assert.equal((await skiff('exec', 'web', '--', 'no-such-command')).code, 127);
    assert.equal((await skiff('exec', '--timeout', '1', 'web', '--', 'sleep', '60')).code, 124);
    const none = await skiff('exec', 'nobody', '--', 'true');
    assert.equal(none.code, 125);
    assert.match(none.stderr, /there is no container "nobody"; "skiff ps -a" shows/);
  });

  it('has facts, figures and a history', async () => {
    assert.equal(JSON.parse(await output('inspect', 'web')).status.metadata.name, 'web');
    assert.match(await output('stats'), new RegExp(`^CONTAINER .*\n${id.slice(0, 12)} +web `));
    const history = (await output('events', '--json', id)).trimEnd().split('\n');
    assert.ok(history.length >= 2, history.join('\n'));
    for (const line of history) assert.equal(JSON.parse(line).subject, id);
  });

  it('keeps its name to itself', async () => {
    const { code, stderr } = await skiff('run', '--name', 'web', image, 'true');
    assert.equal(code, 125);
    assert.match(
      stderr,
      /there is a pod "web" already; remove it with "skiff rm -f web" or choose another --name/,
    );
  });

  it('is not removed while it runs', async () => {
    const { code, stderr } = await skiff('rm', 'web');
    assert.equal(code, 1);
    assert.match(
      stderr,
      /pod default\/web is running; stop it first \("skiff stop web"\) or use "skiff rm -f web"/,
    );
  });

  it('is stopped, which ends who follows its log', async () => {
    const following = start('logs', '-f', 'web');
    await until('some lines', () => following.out().includes('line'));
    await output('stop', '-t', '1', 'web');
    assert.equal((await following.done).code, 0);
    assert.equal(await output('ps', '-q'), '');
    assert.match(await output('ps', '-a'), /exited \(137\)/);
    assert.match(await output('logs', '--tail', '1', 'web'), /^line \d+\n$/);
  });
});

describe('images', () => {
  it('are pulled, listed and removed', async () => {
    const pulled = await skiff('pull', image);
    assert.match(pulled.stdout, /^sha256:[0-9a-f]{64}\n$/);
    assert.equal((await skiff('pull', '-q', image)).stderr, '');
    assert.match(
      await output('images'),
      new RegExp(`${registry.host}/busybox +latest +[0-9a-f]{12} +[\\d.]+ [KM]iB`),
    );
    assert.equal(await output('rmi', image), pulled.stdout);
    assert.equal(await output('images', '-q'), '');
    const gone = await skiff('rmi', image);
    assert.equal(gone.code, 1);
    assert.match(gone.stderr, /there is no image/);
  });

  it('that cannot be pulled give one sentence', async () => {
    const { code, stdout, stderr } = await skiff('pull', '-q', '127.0.0.1:1/a/b:c');
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(stderr, /^skiff: .*127\.0\.0\.1:1.*\n$/);
  });
});

describe('the host and the configuration', () => {
  it('doctor finds that pods can run', async () => {
    const { code, stdout } = await skiff('doctor');
    assert.equal(code, 0, stdout);
    assert.match(stdout, /^warn {2}cgroups .*lacks .*\n +-> /m);
    assert.match(stdout, /^ok {4}daemon /m);
    assert.match(stdout, /^ok {4}CNI plugin bridge /m);
    const findings = JSON.parse(await output('doctor', '--json')) as { state: string }[];
    assert.equal(
      findings.some(({ state }) => state === 'fail'),
      false,
    );
  });

  it('doctor fails where limits cannot be kept and nobody tolerates it', async () => {
    const strict = join(daemon.directory, 'strict.toml');
    await writeFile(
      strict,
      (await readFile(daemon.config, 'utf8')).replace('tolerate_missing_controllers = true', ''),
    );
    const done = await skiff('--config', strict, 'doctor');
    assert.equal(done.code, 1);
    assert.match(done.stdout, /^FAIL {2}cgroups .*\n.*tolerate_missing_controllers = true/m);
  });

  it('a changed file is taken over, a wrong one refused', async () => {
    const text = await readFile(daemon.config, 'utf8');
    const running = async () => output('config', 'show', '--running');
    await writeFile(daemon.config, text.replace("level = 'debug'", "level = 'warn'"));
    await until('the level', async () => (await running()).includes('level = "warn"'));
    await writeFile(daemon.config, text.replace("level = 'debug'", "levl = 'debug'"));
    const refused = await skiff('config', 'reload');
    assert.equal(refused.code, 1);
    assert.match(
      refused.stderr,
      /old one stays in force: .*config\.toml:\d+: log\.levl: .*did you mean log\.level\?/,
    );
    await writeFile(daemon.config, text);
    await until('the old level', async () => (await running()).includes('level = "debug"'));
    assert.match(await output('config', 'check'), /^valid: /);
  });

  it('versions of both are told', async () => {
    assert.match(
      await output('version'),
      /^client {2}skiff \d+\.\d+\.\d+ .*\ndaemon {2}skiff \d+\.\d+\.\d+\n$/,
    );
  });

  it('without a daemon every command says so', async () => {
    for (const command of [['ps'], ['images'], ['pull', 'a'], ['events']]) {
      const { code, stderr } = await skiff('--state', '/tmp/sk-none', ...command);
      assert.equal(code, 1, command.join(' '));
      assert.match(
        stderr,
        /^skiff: connect to \/tmp\/sk-none\/.*: no daemon listens there; start it with "skiff serve"/,
      );
    }
  });
});

/** portmap's rules serve the addresses of the host, not its loopback before route_localnet. */
async function viaHostPort(port: number): Promise<{ host: string; text: string }> {
  const host = '10.99.0.1';
  const reply = await fetch(`http://${host}:${port}/`);
  return { host, text: await reply.text() };
}
