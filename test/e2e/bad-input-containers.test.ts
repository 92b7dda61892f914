import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { access, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import type { ErrorCode } from '../../src/base/errors.ts';
import type { ContainerConfig } from '../../src/cri/gen/runtime/v1/ContainerConfig.ts';
import type { LinuxContainerSecurityContext } from '../../src/cri/gen/runtime/v1/LinuxContainerSecurityContext.ts';
import { containerConfig, OWN_PID, podConfig } from '../harness/pods.ts';
import { leavesNothing, refused } from '../harness/refusal.ts';
import { World } from '../harness/world.ts';

const run = promisify(execFile);

/** Containers that cannot be made or cannot be started. */
describe('bad input: containers', () => {
  let world: World;
  /** Its USER is root with a group that is in no file. */
  let ghostly: string;
  /** The pod in which the containers are tried. */
  let pod: string;
  let made = 0;
  before(async () => {
    world = await World.start();
    await world.pull();
    ghostly = await pushWithUser(world, 'root:ghosts');
    await world.daemon.cri.images.PullImage({ image: { image: ghostly } });
    const { pod_sandbox_id } = await world.daemon.cri.runtime.RunPodSandbox({
      config: podConfig(world.daemon, 'base'),
    });
    pod = pod_sandbox_id;
    // The pod's own cgroup comes with its first container.
    await remove(await started(['true']));
  });
  after(() => world[Symbol.asyncDispose]());
  const clean = (body: () => Promise<void>) => leavesNothing(() => world.daemon, body);

  const create = async (command: string[], changes: Partial<ContainerConfig> = {}) => {
    const config = containerConfig(`c${++made}`, world.image, command, changes);
    const { container_id } = await world.daemon.cri.runtime.CreateContainer({ pod_sandbox_id: pod, config });
    return container_id;
  };
  const started = async (command: string[], changes: Partial<ContainerConfig> = {}) => {
    const container_id = await create(command, changes);
    await world.daemon.cri.runtime.StartContainer({ container_id });
    return container_id;
  };
  const status = async (container_id: string) => {
    const reply = await world.daemon.cri.runtime.ContainerStatus({ container_id });
    assert.ok(reply.status);
    return reply.status;
  };
  const remove = (container_id: string) => world.daemon.cri.runtime.RemoveContainer({ container_id });

  const starts: [what: string, command: string[], changes: Partial<ContainerConfig>, says: RegExp][] = [
    ['a command that is not in the image', ['no-such-command'], {}, /no-such-command.*not found/],
    ['a path that is not in the image', ['/no/such/file'], {}, /\/no\/such\/file.*no such file/],
    [
      'a command that is a directory',
      ['/etc'],
      {},
      /\/etc.*(permission denied|is a directory|not permitted)/,
    ],
    ['a command that is no program', ['/etc/passwd'], {}, /\/etc\/passwd.*permission denied/],
    [
      'a working directory that is a file',
      ['true'],
      { working_dir: '/etc/passwd' },
      /\/etc\/passwd.*not a directory/,
    ],
  ];
  for (const handler of ['runc', 'crun'])
    for (const [what, command, changes, says] of starts)
      it(
        `${what}: ${handler} does not start it, EXITED 128 StartError`,
        clean(async () => {
          const { runtime } = world.daemon.cri;
          const config = podConfig(world.daemon, 'starts');
          const { pod_sandbox_id } = await runtime.RunPodSandbox({ config, runtime_handler: handler });
          const { container_id } = await runtime.CreateContainer({
            pod_sandbox_id,
            config: containerConfig('c', world.image, command, changes),
          });
          const error = await refused(runtime.StartContainer({ container_id }), 'unknown', /./);
          const { state, exit_code, reason, message, started_at, finished_at } = await status(container_id);
          assert.deepEqual(
            { state, exit_code, reason },
            {
              state: 'CONTAINER_EXITED',
              exit_code: 128,
              reason: 'StartError',
            },
          );
          assert.match(message, new RegExp(says.source, 'i'));
          assert.ok(error.message.includes(message), error.message);
          assert.ok(BigInt(started_at) > 0n && BigInt(finished_at) >= BigInt(started_at));
          await refused(
            runtime.StartContainer({ container_id }),
            'failed_precondition',
            /exited, not created/,
          );
          await world.removePod(pod_sandbox_id);
        }),
      );

  const own = { namespace_options: OWN_PID };
  const security = (changes: LinuxContainerSecurityContext): Partial<ContainerConfig> => ({
    linux: { security_context: { ...own, ...changes } },
  });
  const image = { host_path: '/tmp', container_path: '/x', image: { image: 'example.org/volume:1' } };
  const configs: [what: string, changes: Partial<ContainerConfig>, code: ErrorCode, says: RegExp][] = [
    [
      'a user that the image does not have',
      security({ run_as_username: 'ghost' }),
      'invalid_argument',
      /has no user "ghost"; name one that it has, or a number/,
    ],
    [
      'a group without a user',
      security({ run_as_group: { value: 5 } }),
      'invalid_argument',
      /run_as_group needs run_as_user/,
    ],
    [
      'a negative user',
      security({ run_as_user: { value: -5 } }),
      'invalid_argument',
      /-5 is not between 0 and/,
    ],
    [
      'a user past 32 bits',
      security({ run_as_user: { value: 2 ** 40 } }),
      'invalid_argument',
      /1099511627776 is not between 0 and/,
    ],
    [
      'a negative supplemental group',
      security({ supplemental_groups: [-1] }),
      'invalid_argument',
      /-1 is not between 0 and/,
    ],
    [
      'privileges that its pod does not have',
      security({ privileged: true }),
      'invalid_argument',
      /privileged needs a privileged sandbox/,
    ],
    [
      'a capability that there is none',
      security({ capabilities: { add_capabilities: ['CAP_FLY'] } }),
      'invalid_argument',
      /CAP_FLY/,
    ],
    [
      'a user namespace',
      security({ namespace_options: { userns_options: { mode: 'POD' } } }),
      'unimplemented',
      /userns_options/,
    ],
    [
      'a target that is no container',
      security({ namespace_options: { pid: 'TARGET', target_id: 'ffff' } }),
      'not_found',
      /ffff/,
    ],
    [
      'a seccomp profile that is not there',
      security({ seccomp: { profile_type: 'Localhost', localhost_ref: '/none.json' } }),
      'invalid_argument',
      /\/none\.json: no such file on this node/,
    ],
    [
      'a seccomp profile that is relative',
      security({ seccomp: { profile_type: 'Localhost', localhost_ref: '../x' } }),
      'invalid_argument',
      /must be absolute/,
    ],
    ['CDI devices', { CDI_devices: [{ name: 'vendor.com/gpu=0' }] }, 'unimplemented', /CDI_devices/],
    ['an image volume', { mounts: [image] }, 'unimplemented', /mounts\[0\]\.image: image volumes/],
    [
      'id-mapped mounts',
      { mounts: [{ host_path: '/tmp', container_path: '/x', uidMappings: [{ host_id: 1, length: 1 }] }] },
      'unimplemented',
      /mounts\[0\]\.uidMappings/,
    ],
    [
      'a log that climbs',
      { log_path: '../../x' },
      'invalid_argument',
      /log_path \.\.\/\.\.\/x leaves the log directory/,
    ],
    ['a NUL in its log path', { log_path: 'a\0b' }, 'invalid_argument', /log_path/],
    ['a NUL in its command', { command: ['a\0b'] }, 'invalid_argument', /command holds a NUL byte/],
    ['a NUL in its arguments', { args: ['a\0b'] }, 'invalid_argument', /args holds a NUL byte/],
    [
      'a NUL in its environment',
      { envs: [{ key: 'A', value: Buffer.from('a\0b') }] },
      'invalid_argument',
      /envs\[0\]/,
    ],
    [
      'an environment variable without a name',
      { envs: [{ key: '', value: Buffer.from('x') }] },
      'invalid_argument',
      /envs\[0\]\.key/,
    ],
    [
      'a relative working directory',
      { working_dir: 'x' },
      'invalid_argument',
      /working_dir must be an absolute path, not x/,
    ],
    ['a NUL in its working directory', { working_dir: '/a\0b' }, 'invalid_argument', /working_dir/],
    [
      'a mount from a relative path',
      { mounts: [{ host_path: 'x', container_path: '/x' }] },
      'invalid_argument',
      /mounts\[0\]\.host_path/,
    ],
    [
      'a NUL in a mount source',
      { mounts: [{ host_path: '/tmp/a\0b', container_path: '/x' }] },
      'invalid_argument',
      /mounts\[0\]\.host_path/,
    ],
    [
      'a NUL in a mount target',
      { mounts: [{ host_path: '/tmp', container_path: '/a\0b' }] },
      'invalid_argument',
      /mounts\[0\]\.container_path/,
    ],
    [
      'a mount over its root',
      { mounts: [{ host_path: '/tmp', container_path: '/x/..' }] },
      'invalid_argument',
      /mounts\[0\]\.container_path must not be the root/,
    ],
    [
      'a device that is not there',
      { devices: [{ host_path: '/dev/none', container_path: '/dev/none', permissions: 'rwm' }] },
      'invalid_argument',
      /\/dev\/none/,
    ],
    [
      'a device that is a file',
      { devices: [{ host_path: '/etc/passwd', container_path: '/dev/x', permissions: 'r' }] },
      'invalid_argument',
      /\/etc\/passwd/,
    ],
    [
      'permissions that there are none',
      { devices: [{ host_path: '/dev/null', container_path: '/dev/x', permissions: 'rwx' }] },
      'invalid_argument',
      /devices\[0\]\.permissions/,
    ],
    ['no name', { metadata: { name: '' } }, 'invalid_argument', /metadata\.name/],
    ['no image', { image: null }, 'invalid_argument', /config\.image/],
  ];
  for (const [what, changes, code, says] of configs)
    it(
      `a container with ${what} is refused by the field's name`,
      clean(async () => {
        await refused(create(['true'], changes), code, says);
      }),
    );

  it(
    'a group of the image that is in no file is refused',
    clean(async () => {
      const says = /has no group "ghosts"; name one that it has, or a number/;
      await refused(create(['true'], { image: { image: ghostly } }), 'invalid_argument', says);
    }),
  );

  it(
    'a hostile name is only a name',
    clean(async () => {
      const names = ['../../../etc', 'a/b', 'a\nb', '-rf', '$(reboot)', '\u{1F600}', 'x'.repeat(4096)];
      for (const name of names) {
        const id = await started(['true'], { metadata: { name, attempt: 2 ** 32 - 1 }, log_path: 'x.log' });
        assert.equal((await status(id)).metadata?.name, name);
        await remove(id);
      }
    }),
  );

  it(
    'a log directory that is a file fails the start, in words',
    clean(async () => {
      const { runtime } = world.daemon.cri;
      const file = join(world.daemon.directory, 'file');
      await writeFile(file, '');
      const config = podConfig(world.daemon, 'logless', { log_directory: file });
      const { pod_sandbox_id } = await runtime.RunPodSandbox({ config });
      const { container_id } = await runtime.CreateContainer({
        pod_sandbox_id,
        config: containerConfig('c', world.image, ['true']),
      });
      await refused(runtime.StartContainer({ container_id }), 'unknown', /log.*Not a directory/);
      await world.removePod(pod_sandbox_id);
    }),
  );

  it(
    'an oom_score_adj that the kernel does not take is refused by its name',
    clean(async () => {
      for (const oom_score_adj of [-1001, 99_999])
        await refused(
          create(['true'], { linux: { resources: { oom_score_adj }, security_context: own } }),
          'invalid_argument',
          /oom_score_adj/,
        );
    }),
  );

  it('the log of none of them has left the log directory', async () => {
    for (const path of ['x', 'x.log']) await assert.rejects(access(join(world.daemon.directory, path)));
  });
});

/** The world's image once more, with another USER; its reference. */
async function pushWithUser(world: World, user: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'sk-image-'));
  try {
    const layout = join(directory, 'image');
    await run('skopeo', [
      'copy',
      '--insecure-policy',
      '--src-tls-verify=false',
      `docker://${world.image}`,
      `oci:${layout}:latest`,
    ]);
    await run('umoci', ['config', '--image', `${layout}:latest`, `--config.user=${user}`]);
    await world.registry.push(`${layout}:latest`, 'ghostly:1');
    return `${world.registry.host}/ghostly:1`;
  } finally {
    await rm(directory, { recursive: true });
  }
}
