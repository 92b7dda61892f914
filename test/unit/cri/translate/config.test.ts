import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SkiffError } from '../../../../src/base/errors.ts';
import type { ContainerConfig } from '../../../../src/cri/gen/runtime/v1/ContainerConfig.ts';
import type { NamespaceOption } from '../../../../src/cri/gen/runtime/v1/NamespaceOption.ts';
import type { PodSandboxConfig } from '../../../../src/cri/gen/runtime/v1/PodSandboxConfig.ts';
import { message } from '../../../../src/cri/proto.ts';
import { sandboxConfig } from '../../../../src/cri/translate/sandbox-config.ts';
import { readContainerConfig, readSandboxConfig } from '../fixtures.ts';

const POD = { metadata: { name: 'web' } } satisfies PodSandboxConfig;
const MAIN = { metadata: { name: 'main' }, image: { image: 'busybox' } } satisfies ContainerConfig;

/** Asserts that `work` refuses a request and names `field`. */
function refuses(field: string, work: () => unknown): void {
  assert.throws(
    work,
    (error: unknown) =>
      error instanceof SkiffError &&
      error.code === 'invalid_argument' &&
      error.message.includes(`: ${field} `),
    field,
  );
}

describe('sandboxConfig', () => {
  it('fills what the request leaves out with the defaults of the domain', () => {
    assert.deepEqual(readSandboxConfig(POD), {
      metadata: { name: 'web', uid: '', namespace: '', attempt: 0 },
      hostname: '',
      logDirectory: '',
      dns: null,
      portMappings: [],
      labels: {},
      annotations: {},
      cgroupParent: '',
      sysctls: {},
      security: {
        namespaces: { network: 'pod', pid: 'pod', ipc: 'pod', targetId: '', userns: null },
        selinux: null,
        runAsUser: null,
        runAsGroup: null,
        readonlyRootfs: false,
        supplementalGroups: [],
        supplementalGroupsPolicy: 'merge',
        privileged: false,
        seccomp: null,
        apparmor: null,
      },
      overhead: null,
      resources: null,
    });
  });

  it('carries every field', () => {
    const config = readSandboxConfig({
      metadata: { name: 'web', uid: 'u', namespace: 'ns', attempt: 3 },
      hostname: 'web-0',
      log_directory: '/var/log/pods/x',
      dns_config: { servers: ['10.0.0.10'], searches: ['a.b'], options: ['ndots:5'] },
      port_mappings: [
        { protocol: 'SCTP', container_port: 80, host_port: 8080, host_ip: '::1' },
        { container_port: 53 },
      ],
      labels: { l: '1' },
      annotations: { a: '2' },
      linux: {
        cgroup_parent: '/kubepods',
        sysctls: { 'net.core.somaxconn': '1024' },
        overhead: { memory_limit_in_bytes: 5 },
        resources: {
          cpu_shares: 2,
          hugepage_limits: [{ page_size: '2MB', limit: '9' }],
          unified: { 'memory.high': '1' },
        },
        security_context: {
          namespace_options: {
            network: 'NODE',
            pid: 'CONTAINER',
            ipc: 'NODE',
            userns_options: { mode: 'POD', uids: [{ host_id: 65536, length: 65536 }] },
          },
          selinux_options: { user: 'u', role: 'r', type: 't', level: 's0' },
          run_as_user: { value: 0 },
          run_as_group: { value: '7' },
          supplemental_groups: [1, '2'],
          supplemental_groups_policy: 'Strict',
          seccomp: { profile_type: 'Localhost', localhost_ref: '/p.json' },
          apparmor: { profile_type: 'Unconfined' },
        },
      },
    });
    assert.deepEqual(config.metadata, { name: 'web', uid: 'u', namespace: 'ns', attempt: 3 });
    assert.deepEqual(config.dns, { servers: ['10.0.0.10'], searches: ['a.b'], options: ['ndots:5'] });
    assert.deepEqual(config.portMappings, [
      { protocol: 'sctp', containerPort: 80, hostPort: 8080, hostIp: '::1' },
      { protocol: 'tcp', containerPort: 53, hostPort: 0, hostIp: '' },
    ]);
    assert.deepEqual([config.labels, config.annotations], [{ l: '1' }, { a: '2' }]);
    assert.deepEqual(
      [config.hostname, config.logDirectory, config.cgroupParent],
      ['web-0', '/var/log/pods/x', '/kubepods'],
    );
    assert.deepEqual(config.sysctls, { 'net.core.somaxconn': '1024' });
    assert.equal(config.overhead?.memoryLimitInBytes, 5);
    assert.deepEqual(config.resources?.hugepageLimits, [{ pageSize: '2MB', limit: 9 }]);
    assert.deepEqual(config.resources?.unified, { 'memory.high': '1' });
    const { security } = config;
    assert.deepEqual(security.namespaces, {
      network: 'node',
      pid: 'container',
      ipc: 'node',
      targetId: '',
      userns: { mode: 'pod', uids: [{ hostId: 65536, containerId: 0, length: 65536 }], gids: [] },
    });
    assert.deepEqual(security.selinux, { user: 'u', role: 'r', type: 't', level: 's0' });
    assert.deepEqual([security.runAsUser, security.runAsGroup], [0, 7]);
    assert.deepEqual([security.supplementalGroups, security.supplementalGroupsPolicy], [[1, 2], 'strict']);
    assert.deepEqual(security.seccomp, { type: 'localhost', localhostRef: '/p.json' });
    assert.deepEqual(security.apparmor, { type: 'unconfined', localhostRef: '' });
  });

  it('refuses by name what CRI requires', () => {
    refuses('config', () => sandboxConfig(null));
    refuses('sandbox_config', () => sandboxConfig(null, 'sandbox_config'));
    refuses('config.metadata', () => readSandboxConfig({}));
    refuses('config.metadata.name', () => readSandboxConfig({ metadata: { uid: 'u' } }));
  });

  it('ignores fields and enum values that a newer client knows', () => {
    const type = message('PodSandboxConfig');
    const future = { network: 77, pid: 'CONTAINER' } as unknown as NamespaceOption;
    const bytes = type.serialize({ ...POD, linux: { security_context: { namespace_options: future } } });
    // Field 1000, length-delimited, three bytes.
    const unknown = Buffer.from([0xc2, 0x3e, 3, 1, 2, 3]);
    const config = sandboxConfig(type.deserialize(Buffer.concat([unknown, bytes, unknown])));
    assert.equal(config.metadata.name, 'web');
    assert.deepEqual(
      [config.security.namespaces.network, config.security.namespaces.pid],
      ['pod', 'container'],
    );
  });
});

describe('containerConfig', () => {
  it('carries every field', () => {
    const config = readContainerConfig({
      metadata: { name: 'main', attempt: 4 },
      image: {
        image: 'sha256:1',
        user_specified_image: 'busybox',
        annotations: { k: 'v' },
        runtime_handler: 'crun',
        image_ref: 'ref',
      },
      command: ['sh'],
      args: ['-c', 'true'],
      working_dir: '/w',
      envs: [
        { key: 'A', value: Buffer.from('ü=1') },
        { key: 'A', value: Buffer.from('') },
      ],
      mounts: [
        {
          container_path: '/c',
          host_path: '/h',
          readonly: true,
          recursive_read_only: true,
          selinux_relabel: true,
          propagation: 'PROPAGATION_HOST_TO_CONTAINER',
          gidMappings: [{ host_id: 1, container_id: 2, length: 3 }],
          mount_options: ['noexec'],
        },
        { container_path: '/i', image: { image: 'data:1' }, image_sub_path: 'sub' },
      ],
      devices: [{ container_path: '/dev/x', host_path: '/dev/y', permissions: 'rw' }],
      CDI_devices: [{ name: 'vendor.com/gpu=0' }],
      labels: { l: '1' },
      annotations: { a: '2' },
      log_path: 'main/0.log',
      stdin: true,
      stdin_once: true,
      tty: true,
      stop_signal: 'SIGNAL_SIGRTMAXMINUS2',
      linux: {
        resources: { cpu_quota: -1, memory_swap_limit_in_bytes: '9223372036854775807', oom_score_adj: -998 },
        security_context: {
          capabilities: {
            add_capabilities: ['NET_ADMIN'],
            drop_capabilities: ['ALL'],
            add_ambient_capabilities: ['CHOWN'],
          },
          privileged: true,
          run_as_username: 'www',
          readonly_rootfs: true,
          no_new_privs: true,
          masked_paths: ['/proc/kcore'],
          readonly_paths: ['/proc/sys'],
          namespace_options: { pid: 'TARGET', target_id: 'other' },
        },
      },
    });
    assert.deepEqual(config.image, {
      image: 'sha256:1',
      annotations: { k: 'v' },
      userSpecifiedImage: 'busybox',
      runtimeHandler: 'crun',
      imageRef: 'ref',
    });
    assert.deepEqual(config.envs, [
      { key: 'A', value: 'ü=1' },
      { key: 'A', value: '' },
    ]);
    assert.deepEqual(config.mounts[0], {
      containerPath: '/c',
      hostPath: '/h',
      readonly: true,
      recursiveReadonly: true,
      selinuxRelabel: true,
      propagation: 'host_to_container',
      uidMappings: [],
      gidMappings: [{ hostId: 1, containerId: 2, length: 3 }],
      image: null,
      imageSubPath: '',
      options: ['noexec'],
    });
    assert.deepEqual([config.mounts[1]?.image?.image, config.mounts[1]?.imageSubPath], ['data:1', 'sub']);
    assert.deepEqual(config.devices, [{ containerPath: '/dev/x', hostPath: '/dev/y', permissions: 'rw' }]);
    assert.deepEqual(config.cdiDevices, ['vendor.com/gpu=0']);
    assert.deepEqual([config.stdin, config.stdinOnce, config.tty], [true, true, true]);
    assert.deepEqual(
      [config.logPath, config.workingDir, config.stopSignal],
      ['main/0.log', '/w', 'SIGRTMAX-2'],
    );
    assert.deepEqual([config.command, config.args], [['sh'], ['-c', 'true']]);
    assert.deepEqual([config.resources?.cpuQuota, config.resources?.oomScoreAdj], [-1, -998]);
    assert.equal(config.resources?.memorySwapLimitInBytes, Number.MAX_SAFE_INTEGER);
    assert.deepEqual(config.security.capabilities, {
      add: ['NET_ADMIN'],
      drop: ['ALL'],
      addAmbient: ['CHOWN'],
    });
    assert.deepEqual(
      [config.security.namespaces.pid, config.security.namespaces.targetId, config.security.runAsUsername],
      ['target', 'other', 'www'],
    );
    assert.deepEqual(
      [config.security.maskedPaths, config.security.readonlyPaths],
      [['/proc/kcore'], ['/proc/sys']],
    );
    assert.ok(config.security.privileged && config.security.readonlyRootfs && config.security.noNewPrivs);
  });

  it('refuses by name what CRI requires and what JSON cannot hold', () => {
    refuses('config.metadata', () => readContainerConfig({}));
    refuses('config.metadata.name', () => readContainerConfig({ ...MAIN, metadata: { attempt: 1 } }));
    refuses('config.image', () => readContainerConfig({ metadata: { name: 'x' } }));
    refuses('config.image.image', () =>
      readContainerConfig({ ...MAIN, image: { user_specified_image: 'x' } }),
    );
    const envs = [
      { key: 'A', value: Buffer.from('a') },
      { key: 'SECRET', value: Buffer.from([0x73, 0xff]) },
    ];
    refuses('config.envs[1].value', () => readContainerConfig({ ...MAIN, envs }));
  });

  it('reads the deprecated strings of profiles where the messages are absent', () => {
    const security = (context: object) =>
      readContainerConfig({ ...MAIN, linux: { security_context: context } }).security;
    const table = [
      ['runtime/default', { type: 'runtime_default', localhostRef: '' }],
      ['unconfined', { type: 'unconfined', localhostRef: '' }],
      ['localhost/my-profile', { type: 'localhost', localhostRef: 'my-profile' }],
      ['localhost//var/lib/p.json', { type: 'localhost', localhostRef: '/var/lib/p.json' }],
      ['', null],
    ] as const;
    for (const [text, profile] of table) {
      assert.deepEqual(security({ apparmor_profile: text }).apparmor, profile, text);
      assert.deepEqual(security({ seccomp_profile_path: text }).seccomp, profile, text);
    }
    const both = security({ apparmor: { profile_type: 'Unconfined' }, apparmor_profile: 'localhost/x' });
    assert.deepEqual(both.apparmor, { type: 'unconfined', localhostRef: '' });
    refuses('config.linux.security_context.apparmor_profile', () => security({ apparmor_profile: 'mine' }));
    refuses('config.linux.security_context.seccomp_profile_path', () =>
      security({ seccomp_profile_path: '/x' }),
    );
  });
});
