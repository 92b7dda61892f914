import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, globSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { isCode, SkiffError } from '../../../src/base/errors.ts';
import { silentLog } from '../../../src/base/log.ts';
import type { CallOptions } from '../../../src/cri/client.ts';
import { imageService, message, runtimeService } from '../../../src/cri/proto.ts';
import { CriServer } from '../../../src/cri/server.ts';
import type { ImageApi, RuntimeApi } from '../../../src/service/api.ts';
import type { StreamUrls } from '../../../src/service/streaming.ts';
import { containerRow, imageRow, sandboxRow } from '../../unit/cri/fixtures.ts';
import { serve } from './fixture.ts';

/** The methods that RuntimeApi and ImageApi have no function for. */
const NOT_SERVED = [
  'StreamPodSandboxMetrics',
  'CheckpointContainer',
  'CheckpointPod',
  'RestorePod',
  'ListMetricDescriptors',
  'ListPodSandboxMetrics',
];

type AnyCall = (request: object, options?: CallOptions) => Promise<unknown> | AsyncIterable<unknown>;

/** The error that a call of either kind ends with, undefined where it succeeds. */
async function failure(call: AnyCall): Promise<SkiffError | undefined> {
  try {
    const reply = call({}, { timeoutMs: 5000 });
    if (Symbol.asyncIterator in reply) for await (const _ of reply);
    else await reply;
    return undefined;
  } catch (cause) {
    assert.ok(cause instanceof SkiffError, String(cause));
    return cause;
  }
}

function newServer(socket: string): CriServer {
  const none = {} as unknown;
  return new CriServer(
    { socket },
    {
      runtime: none as RuntimeApi,
      images: none as ImageApi,
      streams: none as StreamUrls,
      log: silentLog(),
    },
  );
}

describe('the CRI socket', () => {
  it('is only for root, and gone when the server stops', async (t) => {
    const { socket, client, server } = await serve(t, {});
    assert.equal((await stat(socket)).mode & 0o777, 0o600);
    assert.equal((await client.runtime.Version({})).runtime_version, '1.2.3');
    await server.stop();
    assert.equal(existsSync(socket), false);
    await assert.rejects(client.runtime.Version({}), (error: unknown) => isCode(error, 'unavailable'));
  });

  it('takes the place of a stale file and never of a living server', async (t) => {
    const directory = await mkdtemp(join(tmpdir(), 'sk-'));
    t.after(() => rm(directory, { recursive: true, force: true }));
    const socket = join(directory, 's');
    // A server whose process was killed leaves its file: bound, then closed without unlink.
    await promisify(execFile)(process.execPath, [
      '-e',
      `require('node:net').createServer().listen(${JSON.stringify(socket)}, () => process.kill(process.pid, 'SIGKILL'))`,
    ]).catch(() => {});
    assert.ok((await stat(socket)).isSocket());
    await chmod(socket, 0o777);
    const server = newServer(socket);
    await server.start();
    assert.equal((await stat(socket)).mode & 0o777, 0o600);
    await assert.rejects(newServer(socket).start(), (error: unknown) => isCode(error, 'failed_precondition'));
    assert.ok(existsSync(socket));
    await server.stop();
    const other = createServer().listen(socket);
    t.after(() => other.close());
    await assert.rejects(newServer(socket).start(), (error: unknown) => isCode(error, 'failed_precondition'));
  });

  it('stops twice, and before it has started', async (t) => {
    const { server } = await serve(t, {});
    await server.stop();
    await server.stop();
    await newServer('/tmp/sk-never').stop();
  });
});

describe('the CRI methods', () => {
  it('answer UNIMPLEMENTED with their name where they are not served, and only there', async (t) => {
    const { client } = await serve(t, {});
    const all = { ...client.runtime, ...client.images } as unknown as Record<string, AnyCall>;
    const known = [...Object.keys(runtimeService), ...Object.keys(imageService)];
    assert.equal(known.length, 43);
    for (const name of known) {
      const error = await failure(all[name]!);
      if (NOT_SERVED.includes(name)) {
        assert.equal(error?.code, 'unimplemented', name);
        assert.ok(error.message.includes(name), error.message);
      } else assert.notEqual(error?.code, 'unimplemented', name);
    }
  });

  it('list from rows, with filters', async (t) => {
    const rows = [containerRow(), containerRow({ id: 'c', startedAt: '5' })];
    const filters: unknown[] = [];
    const { client } = await serve(t, {
      listContainers: (filter) => {
        filters.push(filter);
        return rows;
      },
      listPodSandbox: () => [sandboxRow()],
    });
    const listed = await client.runtime.ListContainers({
      filter: { id: 'b', state: { state: 'CONTAINER_RUNNING' }, label_selector: { a: 'b' } },
    });
    assert.deepEqual(
      listed.containers.map((c) => [c.id, c.state, c.created_at]),
      [
        ['b'.repeat(64), 'CONTAINER_CREATED', '1700000000000000001'],
        ['c', 'CONTAINER_RUNNING', '1700000000000000001'],
      ],
    );
    assert.deepEqual(filters, [{ id: 'b', state: 'running', podSandboxId: '', labels: { a: 'b' } }]);
    const pods = await client.runtime.ListPodSandbox({});
    assert.equal(pods.items[0]?.metadata?.name, 'web');
  });

  it('carry a pod from config to removal', async (t) => {
    const seen: unknown[] = [];
    const { client } = await serve(t, {
      runPodSandbox: async (_, config, handler) => {
        seen.push(['run', config.metadata.name, handler]);
        return 'pod';
      },
      createContainer: async (_, pod, config, sandboxConfig) => {
        seen.push(['create', pod, config.image.image, sandboxConfig?.metadata.name]);
        return 'ctr';
      },
      stopContainer: async (_, id, timeout) => void seen.push(['stop', id, timeout]),
      removePodSandbox: async (_, id) => void seen.push(['remove', id]),
      execSync: async (_, id, cmd, timeout) => {
        seen.push(['exec', id, cmd, timeout]);
        return { stdout: Buffer.from([0, 255]), stderr: Buffer.alloc(0), exitCode: 3 };
      },
    });
    const { runtime } = client;
    const config = { metadata: { name: 'web' } };
    const pod = await runtime.RunPodSandbox({ config, runtime_handler: 'crun' });
    assert.equal(pod.pod_sandbox_id, 'pod');
    const created = await runtime.CreateContainer({
      pod_sandbox_id: 'pod',
      config: { metadata: { name: 'main' }, image: { image: 'busybox' } },
      sandbox_config: config,
    });
    assert.equal(created.container_id, 'ctr');
    const result = await runtime.ExecSync({ container_id: 'ctr', cmd: ['id'], timeout: 7 });
    assert.deepEqual([result.exit_code, [...result.stdout]], [3, [0, 255]]);
    await runtime.StopContainer({ container_id: 'ctr', timeout: '-5' });
    await runtime.RemovePodSandbox({ pod_sandbox_id: 'pod' });
    assert.deepEqual(seen, [
      ['run', 'web', 'crun'],
      ['create', 'pod', 'busybox', 'web'],
      ['exec', 'ctr', ['id'], 7],
      ['stop', 'ctr', 0],
      ['remove', 'pod'],
    ]);
  });

  it('refuse a request that names nothing before anything is done', async (t) => {
    const { client } = await serve(t, {}, {});
    const { runtime, images } = client;
    const refused = [
      runtime.StopPodSandbox({}),
      runtime.RemoveContainer({}),
      runtime.RunPodSandbox({}),
      runtime.CreateContainer({ pod_sandbox_id: 'x' }),
      runtime.ExecSync({ container_id: 'x' }),
      images.PullImage({}),
      images.RemoveImage({ image: {} }),
    ];
    for (const call of refused)
      await assert.rejects(call, (error: unknown) => isCode(error, 'invalid_argument'));
  });

  it('answer an image that is not there without an error', async (t) => {
    const row = imageRow();
    const { client } = await serve(t, {}, { imageStatus: (name) => (name === 'here' ? row : undefined) });
    assert.equal((await client.images.ImageStatus({ image: { image: 'gone' } })).image, null);
    const here = await client.images.ImageStatus({ image: { image: 'here' }, verbose: true });
    assert.equal(here.image?.id, row.id);
    assert.equal(JSON.parse(here.info.info ?? '').imageSpec.architecture, 'amd64');
  });

  it('carry requests and replies up to 16 MiB', async (t) => {
    const sizes: number[] = [];
    const big = Buffer.alloc(15 * 1024 * 1024, 'x');
    const { client } = await serve(t, {
      execSync: async (_, __, cmd) => {
        sizes.push(cmd[0]?.length ?? 0);
        return { stdout: big, stderr: Buffer.alloc(0), exitCode: 0 };
      },
    });
    const reply = await client.runtime.ExecSync({ container_id: 'x', cmd: [big.toString()] });
    assert.deepEqual([sizes, reply.stdout.length], [[big.length], big.length]);
    const larger = 'x'.repeat(17 * 1024 * 1024);
    await assert.rejects(client.runtime.ExecSync({ container_id: 'x', cmd: [larger] }), (error: unknown) =>
      isCode(error, 'resource_exhausted'),
    );
    assert.equal(message('ExecSyncRequest').serialize({ cmd: [larger] }).length > 16 * 1024 * 1024, true);
  });
});

describe('crictl', () => {
  // scripts/tools.sh prints the variable; without it, where it puts the tool.
  const tools = join(process.env.SKIFF_CACHE ?? '/var/cache/skiff', 'tools');
  const crictl =
    process.env.SKIFF_TOOL_CRICTL ??
    globSync('crictl-*/bin/crictl', { cwd: tools }).map((at) => join(tools, at))[0];
  const skip = crictl === undefined ? `no crictl in ${tools}; run scripts/tools.sh crictl` : false;

  it('reads version and info', { skip }, async (t) => {
    const { socket } = await serve(
      t,
      {
        status: async () => ({
          conditions: [
            { type: 'RuntimeReady', status: true, reason: '', message: '' },
            { type: 'NetworkReady', status: false, reason: 'NoConfig', message: 'no CNI' },
          ],
          handlers: [{ name: '', recursiveReadonlyMounts: true, userNamespaces: false }],
          supplementalGroupsPolicy: true,
          info: { config: { a: 1 } },
        }),
        runtimeConfig: () => ({ cgroupDriver: 'cgroupfs' }),
        listPodSandbox: () => [sandboxRow()],
      },
      {
        listImages: () => [imageRow()],
        imageFsInfo: async () => ({ imageFilesystems: [], containerFilesystems: [] }),
      },
    );
    const home = await mkdtemp(join(tmpdir(), 'sk-'));
    t.after(() => rm(home, { recursive: true, force: true }));
    await mkdir(home, { recursive: true });
    await writeFile(join(home, 'crictl.yaml'), `runtime-endpoint: unix://${socket}\n`);
    const run = async (...args: string[]): Promise<string> =>
      (await promisify(execFile)(crictl!, ['-c', join(home, 'crictl.yaml'), ...args])).stdout;
    assert.match(
      await run('version'),
      /RuntimeName:\s+skiff\nRuntimeVersion:\s+1\.2\.3\nRuntimeApiVersion:\s+v1/,
    );
    const info = JSON.parse(await run('info'));
    assert.equal(info.status.conditions[1].reason, 'NoConfig');
    assert.deepEqual(info.config, { a: 1 });
    assert.match(await run('pods'), /web\s+default\s+2\s+crun/);
    assert.match(await run('images'), /busybox\s+1/);
  });
});
