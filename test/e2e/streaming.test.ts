import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { get } from 'node:http';
import { buffer, text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ContainerConfig } from '../../src/cri/gen/runtime/v1/ContainerConfig.ts';
import { Crictl } from '../harness/crictl.ts';
import { type Inventory, leaks, takeInventory } from '../harness/leaks.ts';
import { containerConfig, logTexts, podConfig } from '../harness/pods.ts';
import { Terminal } from '../harness/terminal.ts';
import { until } from '../harness/until.ts';
import { type RunningPod, World } from '../harness/world.ts';

const MIB = 1024 * 1024;
const TRANSPORTS = ['spdy', 'websocket'] as const;

/** Streams as people use them: crictl is Kubernetes' own client library with a command line. */
describe('streaming to crictl', () => {
  let world: World;
  let crictl: Crictl;
  let web: RunningPod;
  let start: Inventory;

  before(async () => {
    world = await World.start();
    await world.pull();
    start = await takeInventory(world.daemon);
    crictl = await Crictl.for(world.daemon);
    web = await world.runPod('web', ['/bin/httpd', '-f', '-p', '80', '-h', '/www']);
  });

  after(async () => {
    await world?.[Symbol.asyncDispose]();
  });

  const run = (...args: string[]): ChildProcess => {
    const [program, line] = crictl.line(...args);
    return spawn(program, line, { stdio: ['pipe', 'pipe', 'pipe'] });
  };

  for (const transport of TRANSPORTS) {
    const flags = ['--transport', transport];

    describe(`exec over ${transport}`, () => {
      const exec = ['exec', ...flags];

      it('keeps stdout and stderr apart and tells the exit code', async () => {
        const { code, stdout, stderr } = await crictl.try(
          ...exec,
          web.container,
          'sh',
          '-c',
          'echo out; echo err >&2; exit 42',
        );
        assert.notEqual(code, 0);
        assert.equal(stdout, 'out\n');
        assert.match(stderr, /^err\n/);
        assert.match(stderr, /exit code 42/);
      });

      it('says why a command cannot be started, and nothing on its streams', async () => {
        const { code, stdout, stderr } = await crictl.try(...exec, web.container, 'nonesuch');
        assert.notEqual(code, 0);
        assert.equal(stdout, '');
        assert.match(stderr, /nonesuch.*executable file not found/);
        assert.equal(stderr.trim().split('\n').length, 1, stderr);
      });

      it('half-closes stdin', async () => {
        const cat = run(...exec, '-i', web.container, 'sh', '-c', 'cat; echo the end');
        cat.stdin?.end('given\n');
        assert.equal(await text(cat.stdout as NonNullable<typeof cat.stdout>), 'given\nthe end\n');
      });

      it('ends with its command, though a child in the background holds the streams', async () => {
        const before = Date.now();
        const { stdout } = await crictl.try(...exec, web.container, 'sh', '-c', 'sleep 20 & echo done');
        assert.equal(stdout, 'done\n');
        assert.ok(Date.now() - before < 10_000, 'it waited for the child');
      });

      it('carries 64 MiB both ways', async () => {
        const block = randomBytes(MIB);
        const sent = createHash('sha256');
        const cat = run(...exec, '-i', web.container, 'cat');
        const received = buffer(cat.stdout as NonNullable<typeof cat.stdout>);
        for (let i = 0; i < 64; i++) {
          block.writeUInt32BE(i);
          sent.update(block);
          if (!cat.stdin?.write(Buffer.from(block)))
            await new Promise((resolve) => cat.stdin?.once('drain', resolve));
        }
        cat.stdin?.end();
        const bytes = await received;
        assert.equal(bytes.length, 64 * MIB);
        assert.equal(createHash('sha256').update(bytes).digest('hex'), sent.digest('hex'));
      });

      it('takes commands in a terminal, tells it of sizes, passes signals on', async () => {
        const [program, line] = crictl.line(...exec, '-it', web.container, 'sh');
        const terminal = new Terminal(program, line, { width: 101, height: 31 });
        await terminal.shows('# ');
        terminal.type('echo $TERM $((40 + 2))\r');
        await terminal.shows('xterm 42');
        terminal.type('stty size\r');
        await terminal.shows('31 101');
        terminal.resize(77, 19);
        terminal.type('sleep 30; echo slept $?\r');
        await sleep(300);
        terminal.type('\x03');
        terminal.type('stty size; exit 3\r');
        await terminal.shows('19 77');
        assert.notEqual(await terminal.exited, 0);
        assert.match(terminal.screen, /exit code 3/);
      });

      it('loses nothing of a burst at the end of a terminal', async () => {
        const [program, line] = crictl.line(...exec, '-it', web.container, 'seq', '1', '20000');
        const terminal = new Terminal(program, line);
        assert.equal(await terminal.exited, 0);
        const lines = terminal.screen.trim().split(/\s+/);
        assert.deepEqual([lines.length, lines.at(-1)], [20_000, '20000']);
      });

      it('hangs a terminal up when its client is gone', async () => {
        const [program, line] = crictl.line(
          ...exec,
          '-it',
          web.container,
          'sh',
          '-c',
          'echo here; exec sleep 4242',
        );
        const terminal = new Terminal(program, line);
        await terminal.shows('here');
        terminal.close();
        await until('the command is gone', async () => !(await processes()).includes('sleep\u00004242'));
      });
    });

    describe(`attach over ${transport}`, () => {
      const stdin: Partial<ContainerConfig> = { stdin: true };

      it('closes the stdin of a stdin_once container, and stays for its output', async () => {
        const pod = await world.runPod(`once-${transport}`, ['sh', '-c', 'cat; echo bye'], {
          container: { ...stdin, stdin_once: true },
        });
        const client = run('attach', ...flags, '-i', pod.container);
        client.stdin?.end('to the container\n');
        assert.equal(
          await text(client.stdout as NonNullable<typeof client.stdout>),
          'to the container\nbye\n',
        );
        assert.deepEqual(logTexts(await readFile(pod.log, 'utf8')), ['to the container', 'bye']);
        await world.removePod(pod.pod);
      });

      it('leaves any other container running when its client goes', async () => {
        const pod = await world.runPod(
          `again-${transport}`,
          ['sh', '-c', 'while read x; do echo got $x; done'],
          {
            container: stdin,
          },
        );
        for (const word of ['one', 'two']) {
          const client = run('attach', ...flags, '-i', pod.container);
          client.stdin?.write(`${word}\n`);
          const output = client.stdout as NonNullable<typeof client.stdout>;
          const [first] = await new Promise<Buffer[]>((resolve) =>
            output.once('data', (data) => resolve([data])),
          );
          assert.equal(String(first), `got ${word}\n`);
          client.stdin?.end();
          assert.equal(await new Promise((resolve) => client.once('exit', resolve)), 0);
        }
        await world.removePod(pod.pod);
      });

      it('serves the terminal of a container', async () => {
        const pod = await world.runPod(`tty-${transport}`, ['sh'], { container: { ...stdin, tty: true } });
        const [program, line] = crictl.line('attach', ...flags, '-it', pod.container);
        const terminal = new Terminal(program, line, { width: 90, height: 20 });
        await sleep(500);
        terminal.type('stty size; exit\r');
        await terminal.shows('20 90');
        await terminal.exited;
        await world.removePod(pod.pod);
      });
    });

    describe(`port-forward over ${transport}`, () => {
      const forward = async (pod: string, port: number): Promise<{ client: ChildProcess; url: string }> => {
        const client = run('port-forward', ...flags, pod, `:${port}`);
        let told = '';
        client.stdout?.on('data', (data) => {
          told += data;
        });
        const local = await until('the port is open', () => /127\.0\.0\.1:(\d+) ->/.exec(told)?.[1]);
        return { client, url: `http://127.0.0.1:${local}/` };
      };

      it('reaches a server in the pod, 100 connections at once', async () => {
        const { client, url } = await forward(web.pod, 80);
        const pages = await Promise.all(Array.from({ length: 100 }, () => page(url)));
        assert.deepEqual([...new Set(pages)], ['hello from skiff\n']);
        client.kill();
      });

      it('reaches a server that listens on IPv6 only', async () => {
        const six = await world.runPod(`six-${transport}`, [
          '/bin/httpd',
          '-f',
          '-p',
          '[::1]:81',
          '-h',
          '/www',
        ]);
        const { client, url } = await forward(six.pod, 81);
        assert.equal(await page(url), 'hello from skiff\n');
        client.kill();
        await world.removePod(six.pod);
      });

      it('ends a connection to a port where nobody listens, and the client learns why', async () => {
        const { client, url } = await forward(web.pod, 4);
        await assert.rejects(page(url));
        // Kubernetes' client gives the whole forwarding up once it was told of an error.
        assert.notEqual(await new Promise((resolve) => client.once('exit', resolve)), 0);
      });

      it("reaches the host's ports from a pod on the host's network", async () => {
        const options = { network: 'NODE', pid: 'CONTAINER' } as const;
        const pod = await world.runPod(
          `host-${transport}`,
          ['/bin/httpd', '-f', '-p', '127.0.0.1:8181', '-h', '/www'],
          {
            pod: { hostname: '', linux: { security_context: { namespace_options: options } } },
            container: { linux: { security_context: { namespace_options: options } } },
          },
        );
        const { client, url } = await forward(pod.pod, 8181);
        assert.equal(await page(url), 'hello from skiff\n');
        client.kill();
        await world.removePod(pod.pod);
      });
    });
  }

  it('serves terminals under crun, too', async () => {
    const { runtime } = world.daemon.cri;
    const config = podConfig(world.daemon, 'crun');
    const { pod_sandbox_id } = await runtime.RunPodSandbox({ config, runtime_handler: 'crun' });
    const { container_id } = await runtime.CreateContainer({
      pod_sandbox_id,
      config: containerConfig('crun', world.image, ['sleep', '1000']),
      sandbox_config: config,
    });
    await runtime.StartContainer({ container_id });
    const terminal = new Terminal(...crictl.line('exec', '-it', container_id, 'sh'), {
      width: 66,
      height: 16,
    });
    await terminal.shows('# ');
    terminal.type('stty size\r');
    await terminal.shows('16 66');
    terminal.resize(99, 33);
    await sleep(500);
    terminal.type('stty size; exit 4\r');
    await terminal.shows('33 99');
    assert.notEqual(await terminal.exited, 0);
    assert.match(terminal.screen, /exit code 4/);
    const refused = await crictl.try('exec', container_id, 'nonesuch');
    assert.match(refused.stderr, /nonesuch.*not found/);
    await world.removePod(pod_sandbox_id);
  });

  it('leaves nothing', async () => {
    await world.removePod(web.pod);
    assert.deepEqual(await leaks(world.daemon, start), []);
  });
});

function page(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    get(url, { agent: false }, (response) => text(response).then(resolve, reject)).on('error', reject);
  });
}

/** Command lines of all processes, with NUL between the arguments. */
async function processes(): Promise<string> {
  const lines = (await readdir('/proc'))
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''));
  return (await Promise.all(lines)).join('\n');
}
