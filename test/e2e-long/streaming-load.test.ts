import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { openCommand } from '../../src/streaming/client.ts';
import { until } from '../harness/until.ts';
import { type RunningPod, World } from '../harness/world.ts';

const MIB = 1024 * 1024;
const STREAMS = { tty: false, stdin: true, stdout: true, stderr: true };
const OUT = { tty: false, stdin: false, stdout: true, stderr: false };

/** Many clients, slow clients, clients that do not read: what they cost the daemon. */
describe('streaming under load', () => {
  let world: World;
  let web: RunningPod;

  before(async () => {
    world = await World.start();
    await world.pull();
    web = await world.runPod('web', ['/bin/httpd', '-f', '-p', '80', '-h', '/www']);
  });

  after(async () => {
    await world?.[Symbol.asyncDispose]();
  });

  const exec = async (cmd: string[], streams = STREAMS): Promise<string> =>
    (await world.daemon.cri.runtime.Exec({ container_id: web.container, cmd, ...streams })).url;
  /** Resident memory of the daemon, in MiB. */
  const rss = async (): Promise<number> => {
    const status = await readFile(`/proc/${world.daemon.pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
  };

  describe('the memory of the daemon', () => {
    const endAll = (name: string) =>
      world.daemon.cri.runtime.ExecSync({
        container_id: web.container,
        cmd: ['sh', '-c', `kill -9 $(pidof ${name})`],
      });
    /** Processor time that the daemon has used, in ticks of 10 ms: fields 14 and 15 of proc_pid_stat(5). */
    const ticks = async (): Promise<number> => {
      const stat = await readFile(`/proc/${world.daemon.pid}/stat`, 'utf8');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return Number(fields[11]) + Number(fields[12]);
    };
    /** Waits until everything that clients make the daemon do has come to rest; its growth in MiB from there on. */
    const growth = async (): Promise<number> => {
      let before = await ticks();
      await until(
        'the daemon rests',
        async () => {
          await sleep(500);
          const now = await ticks();
          const rests = now - before <= 5;
          before = now;
          return rests;
        },
        40_000,
      );
      const memory = await rss();
      await sleep(2000);
      return (await rss()) - memory;
    };

    it('stays as it is while SPDY clients do not read', async (t) => {
      const commands = await Promise.all(
        Array.from({ length: 10 }, async () => openCommand(await exec(['cat', '/dev/zero'], OUT), OUT)),
      );
      const grown = await growth();
      t.diagnostic(`10 clients that do not read /dev/zero: ${grown.toFixed(1)} MiB`);
      assert.ok(grown < 16, `${grown} MiB`);
      await Promise.all(commands.map((command) => command.close()));
      assert.ok((await growth()) < 16, 'nor when what they started goes on without them');
      await endAll('cat');
    });

    it('stays as it is while WebSocket clients do not read, from a terminal', async (t) => {
      const wanted = { tty: true, stdin: false, stdout: true, stderr: false };
      const sockets = await Promise.all(
        Array.from({ length: 10 }, async () => {
          const socket = new WebSocket(await exec(['yes', 'to a terminal'], wanted), 'v5.channel.k8s.io');
          await new Promise((resolve) => socket.once('open', resolve));
          socket.pause();
          return socket;
        }),
      );
      const grown = await growth();
      t.diagnostic(`10 clients that do not read a terminal: ${grown.toFixed(1)} MiB`);
      assert.ok(grown < 16, `${grown} MiB`);
      for (const socket of sockets) socket.terminate();
    });

    for (const tty of [false, true])
      it(`stays as it is while clients write what ${tty ? 'a terminal' : 'nobody'} does not read`, async (t) => {
        const wanted = { tty, stdin: true, stdout: false, stderr: false };
        let written = 0;
        const commands = await Promise.all(
          Array.from({ length: 10 }, async () => {
            const command = await openCommand(await exec(['sleep', '1000'], wanted), wanted);
            const chunk = Buffer.alloc(65_536, 'x');
            const more = (): void => {
              if (command.stdin?.destroyed) return;
              written += chunk.length;
              command.stdin?.write(chunk, (error) => error || more());
            };
            more();
            return command;
          }),
        );
        const before = written;
        const grown = await growth();
        t.diagnostic(`10 clients wrote ${(written / MIB).toFixed(1)} MiB: ${grown.toFixed(1)} MiB`);
        assert.ok(grown < 16, `${grown} MiB`);
        assert.ok(written < 10 * 16 * MIB, `${written} bytes were taken, ${before} at first`);
        await Promise.all(commands.map((command) => command.close()));
        await endAll('sleep');
      });
  });

  it('serves 200 exec sessions at once', async (t) => {
    const startedAt = performance.now();
    const outputs = await Promise.all(
      Array.from({ length: 200 }, async (_, index) => {
        const command = await openCommand(await exec(['sh', '-c', `cat; exit ${index}`]), STREAMS);
        command.stdin?.end(`session ${index}`);
        const [output, outcome] = await Promise.all([textOf(command.stdout), command.outcome]);
        await command.close();
        return { output, outcome };
      }),
    );
    t.diagnostic(`200 sessions in ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
    outputs.forEach(({ output, outcome }, index) => {
      assert.deepEqual([output, outcome], [`session ${index}`, { exitCode: index }]);
    });
  });

  it('gives a slow reader all of the output', async () => {
    for (const tty of [false, true]) {
      const wanted = { ...OUT, tty };
      const command = await openCommand(await exec(['seq', '1', '200000'], wanted), wanted);
      await sleep(1500);
      const lines = (await buffer(command.stdout as Readable)).toString().trim().split(/\r?\n/);
      assert.deepEqual([lines.length, lines.at(-1)], [200_000, '200000']);
      assert.deepEqual(await command.outcome, { exitCode: 0 });
      await command.close();
    }
  });
});

function textOf(stream: Readable | null): Promise<string> {
  return stream === null ? Promise.resolve('') : text(stream);
}
