import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { isCode } from '../../../src/base/errors.ts';
import type { Rows } from '../../../src/base/rows.ts';
import { StateStore } from '../../../src/base/state-store.ts';
import type { LinuxResources, SandboxRow } from '../../../src/sandbox/types.ts';
import { updatePodSandboxResources } from '../../../src/service/sandbox-update.ts';
import { sandboxRow } from '../cri/fixtures.ts';

const LIMITS: LinuxResources = {
  cpuPeriod: 100_000,
  cpuQuota: 50_000,
  cpuShares: 512,
  memoryLimitInBytes: 64 * 1024 * 1024,
  oomScoreAdj: 0,
  cpusetCpus: '',
  cpusetMems: '',
  hugepageLimits: [],
  unified: {},
  memorySwapLimitInBytes: 0,
};
const ID = 'a'.repeat(64);
const call = { signal: new AbortController().signal };

describe('UpdatePodSandboxResources', () => {
  let directory: string;
  let store: StateStore;
  let sandboxes: Rows<SandboxRow>;

  const told = async () =>
    (await store.journal({ subject: ID, after: 0, limit: 10 })).filter((row) => row.what !== 'created');

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'skiff-update-'));
    store = await StateStore.open(join(directory, 'skiff.db'));
    sandboxes = store.rows<SandboxRow>('sandboxes');
    await sandboxes.insert(sandboxRow(), { subject: ID, what: 'created' });
  });
  afterEach(async () => {
    await store.close();
    await rm(directory, { recursive: true });
  });

  it('keeps what it is told, and leaves what it is not', async () => {
    await updatePodSandboxResources({ sandboxes }, call, ID, { overhead: null, resources: LIMITS });
    await updatePodSandboxResources({ sandboxes }, call, ID.slice(0, 8), {
      overhead: { ...LIMITS, cpuShares: 2 },
      resources: null,
    });
    assert.deepEqual(sandboxes.get(ID), {
      ...sandboxRow(),
      config: { ...sandboxRow().config, overhead: { ...LIMITS, cpuShares: 2 }, resources: LIMITS },
    });
    assert.deepEqual(
      (await told()).map((row) => row.what),
      ['resources updated', 'resources updated'],
    );
  });

  it('writes nothing when it is told the same again', async () => {
    for (let round = 0; round < 3; round++)
      await updatePodSandboxResources({ sandboxes }, call, ID, {
        overhead: null,
        resources: structuredClone(LIMITS),
      });
    assert.equal((await told()).length, 1);
  });

  it('is refused for a sandbox that is not there', async () => {
    const change = { overhead: null, resources: LIMITS };
    await assert.rejects(updatePodSandboxResources({ sandboxes }, call, 'b', change), (error: unknown) =>
      isCode(error, 'not_found'),
    );
  });
});
