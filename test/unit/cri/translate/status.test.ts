import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Signal } from '../../../../src/cri/gen/runtime/v1/Signal.ts';
import { message } from '../../../../src/cri/proto.ts';
import { containerMessage, containerStatus } from '../../../../src/cri/translate/container-status.ts';
import { containerEvent } from '../../../../src/cri/translate/events.ts';
import { containerFilter, sandboxFilter } from '../../../../src/cri/translate/filters.ts';
import { authConfig, imageInfo, imageMessage } from '../../../../src/cri/translate/image.ts';
import { sandboxStatus, sandboxStatusResponse } from '../../../../src/cri/translate/sandbox-status.ts';
import { signalMessage, signalName } from '../../../../src/cri/translate/signal.ts';
import { containerStats, sandboxStats } from '../../../../src/cri/translate/stats.ts';
import {
  runtimeConfigResponse,
  statusResponse,
  versionResponse,
} from '../../../../src/cri/translate/status.ts';
import { containerRow, imageRow, sandboxRow } from '../fixtures.ts';

/** A message as the client reads it off the wire. */
function sent<I, O>(type: { serialize(value: I): Buffer; deserialize(bytes: Buffer): O }, value: I): O {
  return type.deserialize(type.serialize(value));
}

describe('sandbox status', () => {
  it('echoes metadata, labels and namespaces, and always has a network', () => {
    const status = sent(message('PodSandboxStatus'), sandboxStatus(sandboxRow()));
    assert.deepEqual(status.metadata, { name: 'web', uid: 'uid-1', namespace: 'default', attempt: 2 });
    assert.deepEqual([status.labels, status.annotations], [{ app: 'web' }, { note: 'ü' }]);
    assert.deepEqual([status.state, status.created_at], ['SANDBOX_READY', '1700000000000000001']);
    assert.equal(status.runtime_handler, 'crun');
    assert.deepEqual(status.network, { ip: '', additional_ips: [] });
    const options = status.linux?.namespaces?.options;
    assert.deepEqual([options?.network, options?.pid, options?.ipc], ['NODE', 'CONTAINER', 'POD']);
  });

  it('has the further addresses, the containers, the instant and verbose facts', () => {
    const network = {
      ip: '10.0.0.2',
      additionalIps: ['fd00::2'],
      networkName: 'n',
      result: {},
      conflist: {},
      more: [],
    };
    const row = sandboxRow({ state: 'notready', network });
    const reply = sent(
      message('PodSandboxStatusResponse'),
      sandboxStatusResponse({
        row,
        containers: [{ row: containerRow(), state: 'created' }],
        timestamp: '5',
        info: { pid: 1 },
      }),
    );
    assert.deepEqual(reply.status?.network, { ip: '10.0.0.2', additional_ips: [{ ip: 'fd00::2' }] });
    assert.equal(reply.status?.state, 'SANDBOX_NOTREADY');
    assert.equal(reply.containers_statuses[0]?.metadata?.name, 'main');
    assert.equal(reply.timestamp, '5');
    assert.deepEqual(reply.info, { info: '{"pid":1}' });
  });
});

describe('container status', () => {
  it('shows an exited container', () => {
    const row = containerRow({
      startedAt: '1700000000000000002',
      finishedAt: '1700000000000000003',
      exitCode: 137,
      reason: 'OOMKilled',
      message: 'm',
      resources: { ...NO_LIMITS, memoryLimitInBytes: 64, unified: { 'memory.high': '1' } },
    });
    const status = sent(message('ContainerStatus'), containerStatus({ row, state: 'exited' }));
    assert.deepEqual(
      [status.state, status.exit_code, status.reason, status.message],
      ['CONTAINER_EXITED', 137, 'OOMKilled', 'm'],
    );
    assert.deepEqual([status.started_at, status.finished_at], ['1700000000000000002', '1700000000000000003']);
    assert.deepEqual(
      [status.image?.image, status.image_ref, status.image_id],
      ['busybox:1', 'sha256:1', 'sha256:1'],
    );
    assert.deepEqual(status.user?.linux, { uid: '1000', gid: '100', supplemental_groups: ['5', '6'] });
    assert.equal(status.stop_signal, 'SIGNAL_SIGRTMINPLUS3');
    assert.equal(status.resources?.linux?.memory_limit_in_bytes, '64');
    assert.deepEqual(status.resources?.linux?.unified, { 'memory.high': '1' });
    assert.equal(status.mounts[0]?.propagation, 'PROPAGATION_BIDIRECTIONAL');
    assert.equal(status.log_path, '/var/log/pods/x/main/1.log');
  });

  it('has zero times for what has not happened, and the state of the list agrees', () => {
    const created = containerRow();
    const status = sent(message('ContainerStatus'), containerStatus({ row: created, state: 'created' }));
    assert.deepEqual([status.started_at, status.finished_at, status.resources], ['0', '0', null]);
    const states = [created, containerRow({ startedAt: '1' }), containerRow({ finishedAt: '2' })];
    assert.deepEqual(
      states.map((row) => sent(message('Container'), containerMessage(row)).state),
      ['CONTAINER_CREATED', 'CONTAINER_RUNNING', 'CONTAINER_EXITED'],
    );
  });

  it('goes into an event with its sandbox', () => {
    const event = sent(
      message('ContainerEventResponse'),
      containerEvent({
        containerId: 'b',
        type: 'deleted',
        createdAt: '9',
        sandbox: sandboxRow(),
        containers: [{ row: containerRow(), state: 'created' }],
      }),
    );
    assert.deepEqual([event.container_event_type, event.created_at], ['CONTAINER_DELETED_EVENT', '9']);
    assert.equal(event.pod_sandbox_status?.metadata?.name, 'web');
    assert.equal(event.containers_statuses.length, 1);
  });
});

const NO_LIMITS = {
  cpuPeriod: 0,
  cpuQuota: 0,
  cpuShares: 0,
  memoryLimitInBytes: 0,
  oomScoreAdj: 0,
  cpusetCpus: '',
  cpusetMems: '',
  hugepageLimits: [],
  unified: {},
  memorySwapLimitInBytes: 0,
};

describe('signals', () => {
  it('keep their names both ways, every one of CRI', () => {
    for (const value of Object.values(Signal)) assert.equal(signalMessage(signalName(value)), value);
    assert.deepEqual(
      ['SIGNAL_SIGTERM', 'SIGNAL_SIGRTMINPLUS10', 'SIGNAL_SIGRTMAX', 'SIGNAL_RUNTIME_DEFAULT', 99].map(
        signalName,
      ),
      ['SIGTERM', 'SIGRTMIN+10', 'SIGRTMAX', '', ''],
    );
    assert.deepEqual(['term', 'constructor', ''].map(signalMessage), [
      'SIGNAL_SIGTERM',
      'SIGNAL_RUNTIME_DEFAULT',
      'SIGNAL_RUNTIME_DEFAULT',
    ]);
  });
});

describe('stats', () => {
  const psi = { total: '7', avg10: 0.5, avg60: 1, avg300: 0 };
  const container = {
    row: containerRow(),
    cpu: {
      timestamp: '1700000000000000001',
      usageCoreNanoSeconds: '12',
      usageNanoCores: null,
      psi: { some: psi, full: psi },
    },
    memory: {
      timestamp: '2',
      workingSetBytes: 0,
      availableBytes: null,
      usageBytes: 5_000_000_000,
      rssBytes: 1,
      pageFaults: 2,
      majorPageFaults: 3,
      psi: null,
    },
    swap: { timestamp: '3', availableBytes: null, usageBytes: 0 },
    io: null,
    writableLayer: { timestamp: '4', mountpoint: '/m', usedBytes: 8, inodesUsed: 9 },
  };

  it('tell a zero from what is not known', () => {
    const stats = sent(message('ContainerStats'), containerStats(container));
    assert.equal(stats.attributes?.metadata?.name, 'main');
    assert.deepEqual(
      [stats.cpu?.usage_core_nano_seconds, stats.cpu?.usage_nano_cores],
      [{ value: '12' }, null],
    );
    assert.deepEqual(stats.cpu?.psi?.Some, { Total: '7', Avg10: 0.5, Avg60: 1, Avg300: 0 });
    assert.deepEqual(
      [stats.memory?.working_set_bytes, stats.memory?.available_bytes],
      [{ value: '0' }, null],
    );
    assert.deepEqual(stats.memory?.usage_bytes, { value: '5000000000' });
    assert.deepEqual(
      [stats.swap?.swap_usage_bytes, stats.swap?.swap_available_bytes, stats.io],
      [{ value: '0' }, null, null],
    );
    assert.deepEqual(stats.writable_layer, {
      timestamp: '4',
      fs_id: { mountpoint: '/m' },
      used_bytes: { value: '8' },
      inodes_used: { value: '9' },
    });
  });

  it('of a sandbox hold network, processes and containers', () => {
    const eth0 = {
      name: 'eth0',
      rxBytes: '18446744073709551615',
      rxErrors: '0',
      txBytes: '1',
      txErrors: '0',
    };
    const stats = sent(
      message('PodSandboxStats'),
      sandboxStats({
        row: sandboxRow(),
        cpu: null,
        memory: null,
        io: { timestamp: '1', psi: null },
        network: { timestamp: '6', defaultInterface: eth0, interfaces: [eth0] },
        processCount: 3,
        containers: [container],
      }),
    );
    assert.equal(stats.attributes?.metadata?.uid, 'uid-1');
    assert.deepEqual(stats.linux?.network?.default_interface?.rx_bytes, { value: '18446744073709551615' });
    assert.deepEqual(stats.linux?.process, { timestamp: '6', process_count: { value: '3' } });
    assert.deepEqual(
      [stats.linux?.cpu, stats.linux?.io?.timestamp, stats.linux?.containers.length],
      [null, '1', 1],
    );
  });
});

describe('images', () => {
  it('show the user as a number or a name', () => {
    const table = [
      ['1003:1004', { value: '1003' }, ''],
      ['0', { value: '0' }, ''],
      ['www-data:x', null, 'www-data'],
      ['', null, ''],
    ] as const;
    for (const [user, uid, username] of table) {
      const row = imageRow({ config: { ...imageRow().config, user } });
      const image = sent(message('Image'), imageMessage(row));
      assert.deepEqual([image.uid, image.username], [uid, username], user);
      assert.equal(image.size, '4000000000');
    }
    const info = JSON.parse(JSON.stringify(imageInfo(imageRow())));
    assert.deepEqual(info.imageSpec.config.Cmd, ['sh']);
    assert.deepEqual(info.imageSpec.rootfs, { type: 'layers', diff_ids: ['sha256:2'] });
  });

  it('take credentials that hold something', () => {
    const type = message('AuthConfig');
    assert.equal(authConfig(null), null);
    assert.equal(authConfig(sent(type, {})), null);
    assert.deepEqual(authConfig(sent(type, { registry_token: 't', server_address: 's' })), {
      username: '',
      password: '',
      auth: '',
      serverAddress: 's',
      identityToken: '',
      registryToken: 't',
    });
  });
});

describe('filters', () => {
  it('let all through when absent', () => {
    assert.deepEqual(sandboxFilter(null), { id: '', state: null, labels: {} });
    assert.deepEqual(containerFilter(null), { id: '', state: null, podSandboxId: '', labels: {} });
  });

  it('tell state zero from no state', () => {
    const pods = message('PodSandboxFilter');
    assert.equal(sandboxFilter(sent(pods, { state: {} })).state, 'ready');
    assert.equal(sandboxFilter(sent(pods, { state: { state: 'SANDBOX_NOTREADY' } })).state, 'notready');
    const containers = message('ContainerFilter');
    const filter = { id: 'b', pod_sandbox_id: 'a', label_selector: { k: 'v' }, state: {} };
    assert.deepEqual(containerFilter(sent(containers, filter)), {
      id: 'b',
      state: 'created',
      podSandboxId: 'a',
      labels: { k: 'v' },
    });
    const stats = sent(message('ContainerStatsFilter'), { id: 'b', pod_sandbox_id: 'a' });
    assert.deepEqual(containerFilter(stats), { id: 'b', state: null, podSandboxId: 'a', labels: {} });
  });
});

describe('runtime status', () => {
  it('has all that a kubelet demands', () => {
    assert.deepEqual(versionResponse({ runtimeName: 'skiff', runtimeVersion: '1.2.3' }), {
      version: '0.1.0',
      runtime_name: 'skiff',
      runtime_version: '1.2.3',
      runtime_api_version: 'v1',
    });
    const reply = sent(
      message('StatusResponse'),
      statusResponse({
        conditions: [{ type: 'RuntimeReady', status: false, reason: 'R', message: 'm' }],
        handlers: [{ name: '', recursiveReadonlyMounts: true, userNamespaces: false }],
        supplementalGroupsPolicy: true,
        info: { config: { a: 1 }, cniconfig: null },
      }),
    );
    assert.deepEqual(reply.status?.conditions, [
      { type: 'RuntimeReady', status: false, reason: 'R', message: 'm' },
    ]);
    assert.deepEqual(reply.runtime_handlers[0]?.features, {
      recursive_read_only_mounts: true,
      user_namespaces: false,
    });
    assert.equal(reply.features?.supplemental_groups_policy, true);
    assert.deepEqual(reply.info, { config: '{"a":1}', cniconfig: 'null' });
  });

  it('sends cgroupfs as 1: zero is systemd', () => {
    const type = message('RuntimeConfigResponse');
    const cgroupfs = type.serialize(runtimeConfigResponse({ cgroupDriver: 'cgroupfs' }));
    // linux (field 1) with two bytes: cgroup_driver (field 1) = 1.
    assert.equal(Buffer.from(cgroupfs).toString('hex'), '0a020801');
    const systemd = sent(type, runtimeConfigResponse({ cgroupDriver: 'systemd' }));
    assert.equal(systemd.linux?.cgroup_driver, 'SYSTEMD');
  });
});
