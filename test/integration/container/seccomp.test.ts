import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { ContainerSecurity } from '../../../src/container/types.ts';
import { containerConfig, mount, security } from '../../unit/container/builders.ts';
import { Lab, output, RUNTIMES } from './bundle.ts';

const { EPERM, ENOSYS, EFAULT, EINVAL } = constants.errno;
const RUNTIME_DEFAULT = { type: 'runtime_default', localhostRef: '' } as const;

/** What a program does that ordinary software does: files, processes, threads, sockets, timers, hashes. */
const ORDINARY = `
  const { execFileSync } = require('node:child_process');
  const { createHash } = require('node:crypto');
  const { mkdtempSync, writeFileSync, readFileSync, watch, renameSync } = require('node:fs');
  const net = require('node:net');
  const { Worker } = require('node:worker_threads');
  const dir = mkdtempSync('/tmp/x');
  watch(dir).close();
  writeFileSync(dir + '/a', 'text'); renameSync(dir + '/a', dir + '/b');
  if (readFileSync(dir + '/b', 'utf8') !== 'text') throw new Error('file');
  if (execFileSync('/bin/sh', ['-c', 'echo $((6*7)) | cat']).toString() !== '42\\n') throw new Error('child');
  const server = net.createServer((s) => s.end('hello')).listen(0, '127.0.0.1', () => {
    const worker = new Worker("require('node:worker_threads').parentPort.postMessage(7)", { eval: true });
    worker.on('message', (seven) => net.connect(server.address().port, '127.0.0.1').on('data', (data) => {
      server.close();
      console.log(data.toString(), seven, createHash('sha256').update('x').digest('hex').slice(0, 4));
    }));
  });`;

for (const runtime of RUNTIMES) {
  describe(`the RuntimeDefault seccomp profile, loaded by ${runtime}`, () => {
    let lab: Lab;
    before(async () => {
      lab = await Lab.make();
      const source = join(import.meta.dirname, 'syscalls.c');
      const made = await output('cc', ['-static', '-O1', '-o', join(lab.rootfs, 'bin/syscalls'), source]);
      assert.equal(made.code, 0, made.stderr);
    });
    after(() => lab.remove());

    const answers = async (change: Partial<ContainerSecurity>) => {
      const config = containerConfig({ command: ['sh'], security: security(change) });
      const result = await lab.run(runtime, await lab.spec(runtime, { config }), 'syscalls');
      assert.equal(result.code, 0, result.stderr);
      return Object.fromEntries(
        result.stdout
          .trim()
          .split('\n')
          .map((line) => line.split(' '))
          .map(([name, errno]) => [name, Number(errno)]),
      );
    };

    it('forbids what reaches beyond a container and allows the rest', async () => {
      const answer = await answers({ seccomp: RUNTIME_DEFAULT });
      const forbidden = Object.keys(answer).filter((name) => answer[name] === EPERM);
      assert.deepEqual(forbidden.toSorted(), [
        ...['add_key', 'bpf', 'clone-user', 'init_module', 'io_uring_setup', 'kexec_load', 'keyctl', 'mount'],
        ...['open_tree', 'perf_event_open', 'personality-norandom', 'setns', 'settimeofday', 'socket-alg'],
        ...['socket-vsock', 'unshare-user', 'unshare-uts', 'userfaultfd'],
      ]);
      for (const name of ['socket-unix', 'socket-inet', 'socket-netlink', 'ptrace', 'chroot', 'thread'])
        assert.equal(answer[name], 0, name);
      assert.equal(answer['personality-linux'], 0);
      assert.equal(answer['personality-query'], 0);
      assert.equal(answer.clone3, ENOSYS);
    });

    it('is what forbids it: without the profile the kernel lets the same calls pass', async () => {
      const answer = await answers({});
      for (const name of ['keyctl', 'personality-norandom']) assert.equal(answer[name], 0, name);
      assert.notEqual(answer['socket-alg'], EPERM);
      assert.notEqual(answer.userfaultfd, ENOSYS);
      assert.equal(answer.clone3, EINVAL);
    });

    it('allows by capability what the capability is for', async () => {
      const add = { add: ['SYS_ADMIN', 'SYS_TIME'], drop: [], addAmbient: [] };
      const answer = await answers({ seccomp: RUNTIME_DEFAULT, capabilities: add });
      assert.equal(answer['unshare-uts'], 0);
      assert.equal(answer.mount, 0);
      assert.equal(answer.clone3, EINVAL);
      assert.notEqual(answer.settimeofday, EPERM);
      assert.ok([EFAULT, EINVAL].includes(answer.bpf ?? 0), `bpf ${answer.bpf}`);
      assert.equal(answer.keyctl, EPERM);
    });

    it('lets an ordinary userland run', async () => {
      const config = containerConfig({
        command: ['sh'],
        security: security({ seccomp: RUNTIME_DEFAULT, noNewPrivs: true }),
        mounts: [
          mount({ containerPath: '/host', hostPath: '/', readonly: true }),
          mount({ containerPath: '/host/proc', hostPath: '/proc' }),
          mount({ containerPath: '/host/tmp', hostPath: lab.dir }),
          mount({ containerPath: '/host/opt', hostPath: dirname(process.execPath) }),
        ],
      });
      const spec = await lab.spec(runtime, { config });
      const node = `/opt/${process.execPath.split('/').at(-1)}`;
      const script = `chroot /host ${node} -e '${ORDINARY.replaceAll("'", `'"'"'`)}'`;
      const result = await lab.run(runtime, spec, script);
      assert.equal(result.stdout, 'hello 7 2d71\n', result.stderr);
    });
  });
}
