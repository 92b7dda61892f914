import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isCode, SkiffError } from '../../../src/base/errors.ts';
import { containerRow, imageRow, sandboxRow } from '../../unit/cri/fixtures.ts';
import { serve } from './fixture.ts';
import { eventually, frame, rawSession } from './raw.ts';

const NO_STATS = { cpu: null, memory: null, io: null };

async function collect<T>(messages: AsyncIterable<T>): Promise<T[]> {
  return Array.fromAsync(messages);
}

describe('the streamed lists', () => {
  it('bring what the plain lists answer, by the same filters', async (t) => {
    const filters: unknown[] = [];
    const noted = <F, R>(answer: R) => {
      return (filter: F) => {
        filters.push(filter);
        return answer;
      };
    };
    const container = { row: containerRow(), swap: null, writableLayer: null, ...NO_STATS };
    const pod = { row: sandboxRow(), network: null, processCount: 3, containers: [container], ...NO_STATS };
    const { client } = await serve(
      t,
      {
        listContainers: noted([containerRow(), containerRow({ id: 'c', startedAt: '5' })]),
        listPodSandbox: noted([sandboxRow(), sandboxRow({ id: 'c', state: 'notready' })]),
        listContainerStats: noted(Promise.resolve([container])),
        listPodSandboxStats: noted(Promise.resolve([pod])),
      },
      { listImages: noted([imageRow(), imageRow({ id: 'sha256:9' })]) },
    );
    const { runtime, images } = client;
    const ofContainers = { filter: { id: 'b', pod_sandbox_id: 'p', label_selector: { a: 'b' } } };
    const ofPods = { filter: { id: 'b', label_selector: { a: 'b' } } };
    const ofImages = { filter: { image: { image: 'busybox' } } };
    const pairs: [unknown[], unknown[]][] = [
      [
        (await collect(runtime.StreamContainers(ofContainers))).flatMap((m) => m.containers),
        (await runtime.ListContainers(ofContainers)).containers,
      ],
      [
        (await collect(runtime.StreamPodSandboxes(ofPods))).flatMap((m) => m.pod_sandboxes),
        (await runtime.ListPodSandbox(ofPods)).items,
      ],
      [
        (await collect(runtime.StreamContainerStats(ofContainers))).flatMap((m) => m.container_stats),
        (await runtime.ListContainerStats(ofContainers)).stats,
      ],
      [
        (await collect(runtime.StreamPodSandboxStats(ofPods))).flatMap((m) => m.pod_sandbox_stats),
        (await runtime.ListPodSandboxStats(ofPods)).stats,
      ],
      [
        (await collect(images.StreamImages(ofImages))).flatMap((m) => m.images),
        (await images.ListImages(ofImages)).images,
      ],
    ];
    for (const [streamed, listed] of pairs) {
      assert.notEqual(streamed.length, 0);
      assert.deepEqual(streamed, listed);
    }
    for (let at = 0; at < filters.length; at += 2) assert.deepEqual(filters[at], filters[at + 1]);
    assert.equal(filters.at(-1), 'busybox');
  });

  it('of nothing end without a message', async (t) => {
    const { client } = await serve(t, { listContainers: () => [] });
    assert.deepEqual(await collect(client.runtime.StreamContainers({})), []);
  });

  it('carry more than one message may hold, each row once, no message empty', async (t) => {
    const note = { note: 'x'.repeat(200_000) };
    const rows = Array.from({ length: 120 }, (_, n) => {
      const row = containerRow({ id: `${n}` });
      return { ...row, config: { ...row.config, annotations: note } };
    });
    const { client } = await serve(t, { listContainers: () => rows });
    const messages = await collect(client.runtime.StreamContainers({}));
    assert.ok(messages.every((m) => m.containers.length > 0));
    assert.deepEqual(
      messages.flatMap((m) => m.containers.map((c) => c.id)),
      rows.map((row) => row.id),
    );
  });

  it('encode no more than a client takes', async (t) => {
    let read = 0;
    const rows = Array.from({ length: 300 }, (_, n) => {
      const row = containerRow({ id: `${n}` });
      const annotations = { note: 'x'.repeat(200_000) };
      return Object.defineProperty(row, 'config', {
        get: () => {
          read += 1;
          return { ...containerRow().config, annotations };
        },
      });
    });
    const { socket } = await serve(t, { listContainers: () => rows });
    const session = rawSession(socket);
    t.after(() => session.destroy());
    const stream = session.request({
      ':method': 'POST',
      ':path': '/runtime.v1.RuntimeService/StreamContainers',
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.on('error', () => {});
    stream.end(frame(Buffer.alloc(0)));
    await eventually('the stream stands', () => read > 0);
    await sleep(300);
    const held = read;
    let bytes = 0;
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    await eventually('the rest comes when it is read', () => bytes > 300 * 200_000);
    assert.ok(held < read / 10, `${held} of ${read} were read before anybody took them`);
  });

  it('end with the error of their list', async (t) => {
    const { client } = await serve(t, {
      listContainerStats: async () => {
        throw new SkiffError('unavailable', 'read statistics: not yet');
      },
    });
    await assert.rejects(collect(client.runtime.StreamContainerStats({})), (error: unknown) =>
      isCode(error, 'unavailable'),
    );
  });
});
