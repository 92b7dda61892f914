import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isCode } from '../../../src/base/errors.ts';
import { ImageNode, NOTHING } from './fixture.ts';
import { HostileRegistry, imageOf } from './hostile-registry.ts';

it('layers of all pulls from one registry wait for each other; a pull that waits can be called off', async () => {
  const node = await ImageNode.start({ maxConcurrentDownloadsPerRegistry: 2 });
  await using registry = await HostileRegistry.start(imageOf(randomBytes(1000)));
  let running = 0;
  let most = 0;
  const repositories = ['a', 'b', 'c', 'd', 'e'];
  for (const repository of repositories) {
    const parts = imageOf(randomBytes(1000));
    const at = (path: string) => `/v2/${repository}/${path}`;
    registry.server.on(at('manifests/1'), (_, response) => response.end(parts.manifest));
    registry.server.on(at(`blobs/${parts.config.digest}`), (_, response) => response.end(parts.config.bytes));
    registry.server.on(at(`blobs/${parts.layer.digest}`), async (_, response) => {
      running += 1;
      most = Math.max(most, running);
      await sleep(150);
      running -= 1;
      response.end(parts.layer.bytes);
    });
  }
  const [first, ...others] = repositories.map((name) => `${registry.server.host}/${name}:1`);
  const pulls = others.map((name) => node.pull(name));
  await sleep(100);
  const late = node.pull(first ?? '', { signal: AbortSignal.timeout(50) });
  await assert.rejects(late, (error) => isCode(error, 'deadline_exceeded'));
  await Promise.all(pulls);
  assert.equal(most, 2);
  await Promise.all(others.map((name) => node.images.remove(name)));
  assert.deepEqual(await node.counts(), NOTHING);
  await node.stop();
});
