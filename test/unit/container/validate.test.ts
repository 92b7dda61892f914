import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ErrorCode } from '../../../src/base/errors.ts';
import type { ContainerConfig, ContainerSecurity } from '../../../src/container/types.ts';
import { validateContainer } from '../../../src/container/validate.ts';
import {
  containerConfig,
  mount,
  privilegedSandbox,
  resources,
  sandboxConfig,
  sandboxRow,
  security,
} from './builders.ts';

const secured = (change: Partial<ContainerSecurity>) => ({ security: security(change) });
const namespaces = (change: object) => secured({ namespaces: { ...security().namespaces, ...change } });
const image = containerConfig().image;
const mapping = { hostId: 0, containerId: 0, length: 1 };

describe('validateContainer', () => {
  it('takes what the kubelet sends', () => {
    const config = containerConfig({
      mounts: [mount({ containerPath: 'relative' })],
      devices: [{ containerPath: '/dev/x', hostPath: '/dev/null', permissions: 'mrw' }],
      workingDir: '/work',
      stopSignal: 'SIGRTMINPLUS3',
      logPath: 'main/0.log',
      ...secured({
        privileged: true,
        runAsUser: 5,
        runAsGroup: 5,
        capabilities: { add: ['NET_ADMIN', 'all'], drop: ['CAP_CHOWN'], addAmbient: ['WHATEVER'] },
        seccomp: { type: 'localhost', localhostRef: '/p.json' },
        namespaces: { ...security().namespaces, userns: { mode: 'node', uids: [], gids: [] } },
      }),
    });
    const sandbox = { ...privilegedSandbox(), logDirectory: '/var/log/pods/x' };
    validateContainer(config, sandboxRow({ config: sandbox }));
  });

  const refused: [change: Partial<ContainerConfig>, field: string, code?: ErrorCode][] = [
    [{ metadata: { name: '', attempt: 0 } }, 'metadata.name'],
    [{ image: { ...image, image: '' } }, 'image.image'],
    [{ args: ['a', 'b\0'] }, 'args'],
    [{ workingDir: 'relative' }, 'working_dir'],
    [{ workingDir: '/a\0' }, 'working_dir'],
    [{ resources: resources({ oomScoreAdj: -1001 }) }, 'resources.oom_score_adj'],
    [{ resources: resources({ oomScoreAdj: 1001 }) }, 'resources.oom_score_adj'],
    [{ mounts: [mount({ hostPath: '/a\0' })] }, 'mounts[0].host_path'],
    [{ mounts: [mount({ containerPath: '/a\0' })] }, 'mounts[0].container_path'],
    [{ devices: [{ containerPath: '', hostPath: '/a\0', permissions: '' }] }, 'devices[0].host_path'],
    [{ devices: [{ containerPath: 'a\0', hostPath: '/a', permissions: '' }] }, 'devices[0].container_path'],
    [{ envs: [{ key: 'A=B', value: '' }] }, 'envs[0].key'],
    [{ envs: [{ key: '', value: 'x' }] }, 'envs[0].key'],
    [{ mounts: [mount({}), mount({ containerPath: '' })] }, 'mounts[1].container_path'],
    [{ mounts: [mount({ containerPath: '/x/..' })] }, 'mounts[0].container_path'],
    [{ mounts: [mount({ hostPath: 'relative' })] }, 'mounts[0].host_path'],
    [{ mounts: [mount({ hostPath: '' })] }, 'mounts[0].host_path'],
    [{ mounts: [mount({ hostPath: '', image })] }, 'mounts[0].image', 'unimplemented'],
    [{ mounts: [mount({ uidMappings: [mapping] })] }, 'mounts[0].uidMappings', 'unimplemented'],
    [{ mounts: [mount({ options: ['noexec'] })] }, 'mounts[0].options', 'unimplemented'],
    [{ cdiDevices: ['vendor.com/gpu=0'] }, 'CDI_devices', 'unimplemented'],
    [{ devices: [{ containerPath: '', hostPath: 'null', permissions: '' }] }, 'devices[0].host_path'],
    [
      { devices: [{ containerPath: '', hostPath: '/dev/null', permissions: 'rx' }] },
      'devices[0].permissions',
    ],
    [secured({ runAsGroup: 5 }), 'security_context.run_as_group'],
    [secured({ privileged: true }), 'security_context.privileged'],
    [secured({ capabilities: { add: ['SYS_MAGIC'], drop: [], addAmbient: [] } }), 'capability SYS_MAGIC'],
    [secured({ seccomp: { type: 'localhost', localhostRef: '' } }), 'security_context.seccomp.localhost_ref'],
    [
      secured({ apparmor: { type: 'unconfined', localhostRef: 'x' } }),
      'security_context.apparmor.localhost_ref',
    ],
    [namespaces({ pid: 'target' }), 'security_context.namespace_options.target_id'],
    [
      namespaces({ userns: { mode: 'pod', uids: [mapping], gids: [mapping] } }),
      'security_context.namespace_options.userns_options',
      'unimplemented',
    ],
    [
      namespaces({ userns: { mode: 'container', uids: [], gids: [] } }),
      'security_context.namespace_options.userns_options.mode',
    ],
    [{ stopSignal: 'SIGNONE' }, 'stop signal SIGNONE'],
    [{ logPath: '../../etc/passwd' }, 'log_path'],
  ];
  const sandbox = sandboxRow({ config: sandboxConfig({ logDirectory: '/var/log/pods/x' }) });
  for (const [change, field, code = 'invalid_argument'] of refused)
    it(`refuses ${JSON.stringify(change)} by name`, () => {
      assert.throws(
        () => validateContainer(containerConfig(change), sandbox),
        (error: { code?: string; message: string }) => error.code === code && error.message.startsWith(field),
      );
    });
});
