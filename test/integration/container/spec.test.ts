import assert from 'node:assert/strict';
import { lstat, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { execProcess } from '../../../src/container/spec/process.ts';
import type { ContainerConfig, ContainerSecurity } from '../../../src/container/types.ts';
import { readHostFacts } from '../../../src/os/host-facts.ts';
import { bindMount, unmount } from '../../../src/os/mount.ts';
import {
  containerConfig,
  imageConfig,
  mount,
  privilegedSandbox,
  resources,
  sandboxRow,
  security,
} from '../../unit/container/builders.ts';
import { featuresOf, Lab, output, RUNTIMES } from './bundle.ts';

/** Capability masks, as the bits of linux/capability.h. */
const CAP = { NET_ADMIN: 1n << 12n, NET_RAW: 1n << 13n, CHOWN: 1n << 0n } as const;
const RUNTIME_DEFAULT = { type: 'runtime_default', localhostRef: '' } as const;

const config = (change: Partial<ContainerSecurity> = {}, rest: Partial<ContainerConfig> = {}) => ({
  config: containerConfig({ command: ['sh'], security: security(change), ...rest }),
});

const privileged = (rest: Partial<ContainerConfig> = {}) => ({
  ...config({ privileged: true }, rest),
  sandbox: sandboxRow({ config: privilegedSandbox(), namespaces: { net: null, ipc: null, uts: null } }),
});

for (const runtime of RUNTIMES) {
  describe(`a container made from the spec, run by ${runtime}`, () => {
    let lab: Lab;
    before(async () => {
      lab = await Lab.make();
    });
    after(() => lab.remove());

    const run = async (script: string, change: Parameters<Lab['spec']>[1] = {}) => {
      const result = await lab.run(runtime, await lab.spec(runtime, { ...config(), ...change }), script);
      return { ...result, lines: result.stdout.trimEnd().split('\n') };
    };
    /** Output of a script that must succeed. */
    const ask = async (script: string, change: Parameters<Lab['spec']>[1] = {}) => {
      const result = await run(script, change);
      assert.equal(result.code, 0, result.stderr);
      return result.stdout.trimEnd();
    };
    const status = async (field: string, change: Parameters<Lab['spec']>[1]) =>
      (await ask(`grep ^${field}: /proc/self/status`, change)).split(/\s+/)[1] ?? '';
    const capabilities = async (change: Parameters<Lab['spec']>[1], set = 'CapBnd') =>
      BigInt(`0x${await status(set, change)}`);

    it('runs as the user, group and groups that were asked for', async () => {
      assert.equal(await ask('id'), 'uid=0(root) gid=0(root) groups=0(root)');
      const numbers = config({ runAsUser: 1234, runAsGroup: 77, supplementalGroups: [9, 8] });
      assert.equal(await ask('id', numbers), 'uid=1234 gid=77 groups=8,9,77');
      const merged = { ...config({ supplementalGroups: [6] }), image: imageConfig({ user: 'app' }) };
      assert.equal(await ask('id', merged), 'uid=1000(app) gid=1000(app) groups=6,1000(app),50000(logs)');
      const strict = config({ runAsUser: 1000, supplementalGroups: [6], supplementalGroupsPolicy: 'strict' });
      assert.equal(await ask('id', strict), 'uid=1000(app) gid=1000(app) groups=6,1000(app)');
    });

    it('holds the default capabilities, more, fewer or all', async () => {
      assert.equal(await capabilities(config()), 0xa80425fbn);
      assert.equal(await capabilities(config(), 'CapAmb'), 0n);
      assert.equal(await capabilities(config(), 'CapInh'), 0n);
      const capsOf = (add: string[], drop: string[]) =>
        config({ capabilities: { add, drop, addAmbient: [] } });
      assert.equal(
        await capabilities(capsOf(['NET_ADMIN'], ['NET_RAW'])),
        0xa80425fbn + CAP.NET_ADMIN - CAP.NET_RAW,
      );
      assert.equal(await capabilities(capsOf(['CHOWN'], ['ALL'])), CAP.CHOWN);
      const own = BigInt(
        `0x${/CapEff:\s*(\S+)/.exec((await output('cat', ['/proc/self/status'])).stdout)?.[1]}`,
      );
      assert.equal(await capabilities(capsOf(['ALL'], [])), own);
      assert.equal(await capabilities(privileged()), own);
    });

    it('sets no_new_privs and seccomp only where asked', async () => {
      assert.equal(await status('NoNewPrivs', config()), '0');
      assert.equal(await status('NoNewPrivs', config({ noNewPrivs: true })), '1');
      assert.equal(await status('Seccomp', config()), '0');
      assert.equal(await status('Seccomp', config({ seccomp: RUNTIME_DEFAULT })), '2');
      assert.equal(await status('Seccomp', { ...config(), unsetSeccompProfile: 'runtime/default' }), '2');
      assert.equal(
        await status('Seccomp', config({ seccomp: { type: 'unconfined', localhostRef: '' } })),
        '0',
      );
    });

    it('takes a localhost seccomp profile, skipping calls that no libseccomp knows', async () => {
      const path = join(lab.dir, 'no-chmod.json');
      const profile = {
        defaultAction: 'SCMP_ACT_ALLOW',
        syscalls: [
          {
            names: ['chmod', 'fchmodat', 'fchmodat2', 'call_of_the_future'],
            action: 'SCMP_ACT_ERRNO',
            errnoRet: 13,
          },
        ],
      };
      await writeFile(path, JSON.stringify(profile));
      const result = await run(
        'touch /tmp/f && busybox chmod 777 /tmp/f',
        config({ seccomp: { type: 'localhost', localhostRef: path } }),
      );
      assert.equal(result.code, 1);
      assert.match(result.stderr, /Permission denied/);
    });

    it('hides masked paths and protects read-only ones', async () => {
      const paths = config({
        maskedPaths: ['/etc/passwd', '/var', '/not/there'],
        readonlyPaths: ['/proc/sys', '/root'],
      });
      await writeFile(join(lab.rootfs, 'var/secret'), 'x');
      assert.equal(await ask('cat /etc/passwd; ls /var', paths), '');
      const result = await run('echo 1 >/proc/sys/kernel/domainname; touch /root/f', paths);
      assert.equal(result.code, 1);
      assert.match(result.stderr, /Read-only file system[\s\S]*Read-only file system/);
    });

    it('makes the root file system read-only, with the sandbox files, and leaves /dev/shm writable', async () => {
      const pin = join(lab.dir, 'ipc');
      await writeFile(pin, '');
      await output('unshare', [`--ipc=${pin}`, 'true']);
      try {
        const sandbox = sandboxRow({ namespaces: { net: null, ipc: pin, uts: null } });
        const script = 'touch /f; touch /etc/hosts; touch /dev/shm/ok && readlink /proc/self/ns/ipc';
        const result = await run(script, { ...config({ readonlyRootfs: true }), sandbox });
        assert.match(result.stderr, /\/f: Read-only file system/);
        assert.match(result.stderr, /\/etc\/hosts: Read-only file system/);
        assert.equal(result.stdout, `ipc:[${(await lstat(pin)).ino}]\n`);
        assert.ok((await lstat(join(lab.dir, 'sandbox/shm/ok'))).isFile());
      } finally {
        await unmount(pin);
      }
    });

    it('mounts the kernel file systems and the files of the sandbox', async () => {
      const mounts = await ask('cat /proc/self/mounts');
      for (const expected of [
        /^\S+ \/proc proc rw,nosuid,nodev,noexec/m,
        /^\S+ \/sys sysfs ro,nosuid,nodev,noexec/m,
        /^\S+ \/sys\/fs\/cgroup cgroup2 ro,nosuid,nodev,noexec/m,
        /^\S+ \/dev tmpfs rw,nosuid/m,
        /^\S+ \/dev\/pts devpts rw,nosuid,noexec/m,
        /^\S+ \/dev\/mqueue mqueue rw,nosuid,nodev,noexec/m,
      ])
        assert.match(mounts, expected);
      assert.equal(
        await ask('cat /etc/hosts /etc/resolv.conf /etc/hostname'),
        'hosts of the sandbox\nresolv.conf of the sandbox\nhostname of the sandbox',
      );
      assert.equal(
        await ask('grep -c . /proc/self/cgroup && grep ^0:: /proc/self/cgroup').then((t) => t.split('\n')[1]),
        '0::/',
      );
    });

    it('mounts host paths: made when absent, through links, read-only, instead of a default, under each other', async () => {
      const absent = join(lab.dir, `absent-${runtime.replaceAll('/', '-')}/deep`);
      const real = join(lab.dir, `real-${runtime.replaceAll('/', '-')}`);
      await mkdir(real);
      await writeFile(join(real, 'file'), 'through the link');
      await symlink(real, `${real}-link`);
      const mounts = [
        mount({ containerPath: '/data/inner', hostPath: absent }),
        mount({ containerPath: '/data', hostPath: `${real}-link` }),
        mount({ containerPath: '/ro', hostPath: real, readonly: true }),
        mount({ containerPath: '/etc/hosts', hostPath: join(real, 'file') }),
      ];
      const result = await run(
        'cat /data/file /etc/hosts; touch /data/inner/new; touch /ro/new',
        config({}, { mounts }),
      );
      assert.equal(result.stdout, 'through the linkthrough the link');
      assert.match(result.stderr, /\/ro\/new: Read-only file system/);
      assert.ok((await lstat(join(absent, 'new'))).isFile());
    });

    it('passes mounts on as the propagation says', async () => {
      const source = join(lab.dir, `shared-${runtime.replaceAll('/', '-')}`);
      await mkdir(join(source, 'in'), { recursive: true });
      await mkdir(join(source, 'out'), { recursive: true });
      await bindMount(source, source);
      try {
        await output('mount', ['--make-rshared', source]);
        for (const [propagation, seenInside, seenOutside] of [
          ['private', false, false],
          ['host_to_container', true, false],
          ['bidirectional', true, true],
        ] as const) {
          const change = {
            ...privileged({ mounts: [mount({ containerPath: '/data', hostPath: source, propagation })] }),
          };
          const spec = await lab.spec(runtime, change);
          spec.process.args = ['sh', '-c', 'mount -t tmpfs tmpfs /data/out && sleep 60'];
          const container = await lab.start(runtime, spec);
          const pid = await container.pid();
          await output('mount', ['-t', 'tmpfs', 'tmpfs', join(source, 'in')]);
          await waitFor(async () => (await mountsOf(pid)).includes('/data/out'));
          assert.equal(
            (await mountsOf(pid)).includes('/data/in'),
            seenInside,
            `${propagation} from the host`,
          );
          assert.equal(
            (await mountsOf('self')).includes(join(source, 'out')),
            seenOutside,
            `${propagation} to the host`,
          );
          await container.kill();
          await unmount(join(source, 'in'));
          await unmount(join(source, 'out'));
        }
      } finally {
        await unmount(source);
      }
    });

    it('makes a mount recursively read-only where the runtime can, and refuses it where it cannot', async () => {
      const source = join(lab.dir, `rro-${runtime.replaceAll('/', '-')}`);
      await mkdir(join(source, 'inner'), { recursive: true });
      await bindMount(lab.rootfs, join(source, 'inner'));
      try {
        const change = { containerPath: '/data', hostPath: source, readonly: true };
        const plain = config({}, { mounts: [mount(change)] });
        assert.equal(await ask('touch /data/inner/tmp/x && echo written', plain), 'written');
        const recursive = config({}, { mounts: [mount({ ...change, recursiveReadonly: true })] });
        const able = (await featuresOf(runtime)).mountOptions?.includes('rro') ?? false;
        if (!able) return await assert.rejects(run('true', recursive), /RROUnsupported/);
        const result = await run('touch /data/inner/tmp/x', recursive);
        assert.match(result.stderr, /Read-only file system/);
      } finally {
        await unmount(join(source, 'inner'));
      }
    });

    it('gives devices by file and by directory', async () => {
      await mkdir(join(lab.dir, 'devices/sub'), { recursive: true });
      for (const name of ['one', 'sub/two'])
        await output('mknod', [join(lab.dir, 'devices', name), 'c', '1', '3']);
      const devices = [
        { containerPath: '/dev/mine', hostPath: '/dev/null', permissions: 'rw' },
        { containerPath: '/dev/all', hostPath: join(lab.dir, 'devices'), permissions: 'rwm' },
      ];
      const script = 'echo x >/dev/mine && echo x >/dev/all/one && stat -c "%F %t,%T" /dev/all/sub/two';
      assert.equal(await ask(script, config({}, { devices })), 'character special file 1,3');
    });

    it('gives a privileged container the host devices, a writable /sys and the host cgroups', async () => {
      const hostDevices = (await output('sh', ['-c', 'find /dev -xdev -type b | head -1'])).stdout.trim();
      const script = `stat -c %F ${hostDevices} && grep " /sys " /proc/self/mounts && readlink /proc/self/ns/cgroup`;
      const [kind, sys, cgroup] = (await ask(script, privileged())).split('\n');
      assert.equal(kind, 'block special file');
      assert.match(sys ?? '', / sysfs rw,/);
      assert.equal(cgroup, (await output('readlink', ['/proc/self/ns/cgroup'])).stdout.trim());
      assert.notEqual(await ask('readlink /proc/self/ns/cgroup'), cgroup);
    });

    it('sets oom_score_adj, raised to what this host allows', async () => {
      const { oomScoreAdjFloor: floor } = await readHostFacts();
      const adj = (value: number) =>
        ask('cat /proc/self/oom_score_adj', config({}, { resources: resources({ oomScoreAdj: value }) }));
      assert.equal(await adj(345), '345');
      assert.equal(await adj(-997), String(Math.max(-997, floor)));
      assert.equal(await ask('cat /proc/self/oom_score_adj'), String(Math.max(0, floor)));
    });

    it('joins the pinned UTS namespace of the pod and leaves its name alone', async () => {
      const pin = join(lab.dir, 'uts');
      await writeFile(pin, '');
      await output('unshare', [`--uts=${pin}`, 'hostname', 'pod-one']);
      try {
        const sandbox = sandboxRow({ namespaces: { net: null, ipc: null, uts: pin } });
        assert.equal(await ask('hostname; echo $HOSTNAME', { sandbox }), 'pod-one\npod-host');
      } finally {
        await unmount(pin);
      }
    });

    it('shares the PID namespace of the pod or of a target container', async () => {
      const first = await lab.start(runtime, {
        ...(await lab.spec(runtime, config())),
        process: { ...(await lab.spec(runtime, config())).process, args: ['sleep', '61'] },
      });
      try {
        const pid = await first.pid();
        const pidMode = (mode: 'pod' | 'target') =>
          config({
            namespaces: { ...security().namespaces, pid: mode, targetId: mode === 'target' ? 'first' : '' },
          });
        const sandbox = sandboxRow({
          namespaces: { net: null, ipc: null, uts: null },
          init: { pid, startTime: '' },
        });
        const pod = await ask('cat /proc/1/cmdline', { ...pidMode('pod'), sandbox });
        assert.equal(pod.replaceAll('\0', ' ').trim(), 'sleep 61');
        const target = await ask('cat /proc/1/cmdline', { ...pidMode('target'), targetPid: pid });
        assert.equal(target.replaceAll('\0', ' ').trim(), 'sleep 61');
      } finally {
        await first.kill();
      }
    });

    it('runs an exec as the container runs: user, environment, directory, capabilities, filter', async () => {
      const change = {
        ...config(
          { runAsUser: 1000, seccomp: RUNTIME_DEFAULT, noNewPrivs: true },
          { workingDir: '/tmp', envs: [{ key: 'COLOUR', value: 'blue' }] },
        ),
      };
      const spec = await lab.spec(runtime, change);
      const container = await lab.start(runtime, {
        ...spec,
        process: { ...spec.process, args: ['sleep', '62'] },
      });
      try {
        await container.pid();
        const script =
          'id -u; pwd; echo $COLOUR $HOSTNAME; grep -E "^(Seccomp|NoNewPrivs|CapBnd):" /proc/self/status';
        const result = await container.exec(execProcess(spec, ['sh', '-c', script], false));
        assert.equal(result.code, 0, result.stderr);
        assert.deepEqual(result.stdout.trim().split(/\s+/), [
          ...['1000', '/tmp', 'blue', 'pod-host'],
          ...['CapBnd:', '00000000a80425fb', 'NoNewPrivs:', '1', 'Seccomp:', '2'],
        ]);
      } finally {
        await container.kill();
      }
    });

    it('fails clearly where the command is missing', async () => {
      const spec = await lab.spec(runtime, config());
      const container = await lab.start(runtime, {
        ...spec,
        process: { ...spec.process, args: ['no-such-command'] },
      });
      const result = await container.ended;
      assert.notEqual(result.code, 0);
      assert.match(result.stderr, /no-such-command/);
    });
  });
}

async function mountsOf(pid: number | 'self'): Promise<string[]> {
  const { stdout } = await output('cat', [`/proc/${pid}/mounts`]);
  return stdout.split('\n').map((line) => line.split(' ')[1] ?? '');
}

async function waitFor(holds: () => Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    if (await holds()) return;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error('waited 5 s in vain');
}
