import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { SkiffError } from '../../../../src/base/errors.ts';
import type { OperationView } from '../../../../src/ops/api.ts';
import { Metrics } from '../../../../src/ops/metrics/metrics.ts';
import type { ImageApi } from '../../../../src/service/api.ts';
import type { Tally } from '../../../../src/service/tally.ts';

const TALLY: Tally = {
  shims: 2,
  images: 4,
  sandboxes: { initialized: 0, ready: 1, notready: 3 },
  containers: { created: 0, running: 2, exited: 5, unknown: 0 },
};

function start(t: TestContext, operations: OperationView[] = []): Metrics {
  const metrics = new Metrics({ version: '1.2.3' }, { tally: () => TALLY, operations: () => operations });
  t.after(() => metrics.close());
  return metrics;
}

/** Values by name and labels, as they stand in the text. */
function values(metrics: Metrics): Map<string, number> {
  const lines = metrics.text().split('\n');
  const samples = lines.filter((line) => line !== '' && !line.startsWith('#'));
  const entries = samples.map((line): [string, number] => {
    const space = line.lastIndexOf(' ');
    return [line.slice(0, space), Number(line.slice(space + 1))];
  });
  assert.equal(new Map(entries).size, entries.length, 'no series twice');
  return new Map(entries);
}

describe('metrics', () => {
  it('count calls by method and code, and their time by method', (t) => {
    const metrics = start(t);
    metrics.call({ method: 'Version', code: 'ok', ms: 0.5 });
    metrics.call({ method: 'Version', code: 'ok', ms: 3 });
    metrics.call({ method: 'Version', code: 'canceled', ms: 2000 });
    metrics.call({ method: 'StopContainer', code: 'ok', ms: 30_000 });
    const found = values(metrics);
    assert.equal(found.get('skiff_cri_calls_total{method="Version",code="ok"}'), 2);
    assert.equal(found.get('skiff_cri_calls_total{method="Version",code="canceled"}'), 1);
    const bucket = (method: string, le: string) =>
      found.get(`skiff_cri_call_duration_seconds_bucket{method="${method}",le="${le}"}`);
    assert.deepEqual([bucket('Version', '0.001'), bucket('Version', '0.005')], [1, 2]);
    assert.deepEqual([bucket('StopContainer', '10'), bucket('StopContainer', '30')], [0, 1]);
    assert.equal(found.get('skiff_cri_call_duration_seconds_sum{method="StopContainer"}'), 30);
    assert.equal(found.get('skiff_cri_call_duration_seconds_count{method="Version"}'), 3);
  });

  it('count pulls while they go on and when they have ended', async (t) => {
    const metrics = start(t);
    const pull = Promise.withResolvers<string>();
    const images = metrics.countPulls({ pullImage: () => pull.promise } as unknown as ImageApi);
    const call = { signal: new AbortController().signal };
    const first = images.pullImage(call, 'a', null);
    assert.equal(values(metrics).get('skiff_image_pulls_running'), 1);
    pull.resolve('sha256:1');
    assert.equal(await first, 'sha256:1');
    const failing = metrics.countPulls({
      pullImage: async () => {
        throw new SkiffError('not_found', 'pull a: there is none');
      },
    } as unknown as ImageApi);
    await assert.rejects(failing.pullImage(call, 'a', null), /there is none/);
    const found = values(metrics);
    assert.equal(found.get('skiff_image_pulls_running'), 0);
    assert.equal(found.get('skiff_image_pulls_total{code="ok"}'), 1);
    assert.equal(found.get('skiff_image_pulls_total{code="not_found"}'), 1);
    assert.equal(found.get('skiff_image_pull_duration_seconds_count'), 2);
  });

  it('tell what is there now', (t) => {
    const run = { name: 'RunPodSandbox', steps: [] };
    const found = values(
      start(t, [
        { ...run, subject: 'a', ageMs: 2500 },
        { ...run, subject: 'b', ageMs: 10 },
      ]),
    );
    assert.equal(found.get('skiff_shims_running'), 2);
    assert.equal(found.get('skiff_images'), 4);
    assert.equal(found.get('skiff_sandboxes{state="notready"}'), 3);
    assert.equal(found.get('skiff_containers{state="unknown"}'), 0);
    assert.equal(found.get('skiff_operations_running{operation="RunPodSandbox"}'), 2);
    assert.equal(found.get('skiff_operation_oldest_seconds'), 2.5);
    assert.equal(found.get(`skiff_build_info{version="1.2.3",node="${process.version}"}`), 1);
  });

  it('tell how late the loop was since they were last asked', async (t) => {
    const metrics = start(t);
    // The monitor's first timer must have run before a block is seen.
    await sleep(150);
    const blockedUntil = performance.now() + 300;
    while (performance.now() < blockedUntil);
    await sleep(150);
    const longest = 'skiff_event_loop_delay_seconds{quantile="1"}';
    const first = values(metrics);
    const late = first.get(longest) ?? 0;
    // The block began somewhere within the monitor's interval of 50 ms.
    assert.ok(late > 0.24, `${late}`);
    const count = first.get('skiff_event_loop_delay_seconds_count') ?? 0;
    const sum = first.get('skiff_event_loop_delay_seconds_sum') ?? 0;
    assert.ok(count > 0 && sum > 0.24 && sum < 10, `${count} ${sum}`);
    const second = values(metrics);
    assert.ok(Number.isNaN(second.get(longest)), 'nothing since');
    assert.equal(second.get('skiff_event_loop_delay_seconds_count'), count);
  });

  it('tell the memory that the kernel counts', async (t) => {
    const status = await readFile('/proc/self/status', 'utf8');
    const kernel = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
    const found = values(start(t));
    const told = found.get('process_resident_memory_bytes') ?? 0;
    assert.ok(Math.abs(told - kernel) < kernel / 4, `${told} against ${kernel}`);
    const started = found.get('process_start_time_seconds') ?? 0;
    assert.ok(Math.abs(started + process.uptime() - Date.now() / 1000) < 2, `${started}`);
  });
});
