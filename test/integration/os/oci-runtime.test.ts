import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { silentLog } from '../../../src/base/log.ts';
import { OciRuntime } from '../../../src/os/oci-runtime.ts';
import { startBusybox } from './busybox-container.ts';

const runtimeOf = (path: string) =>
  new OciRuntime({ name: 'test', path, root: '/run/sk-runtime', systemdCgroup: false }, { log: silentLog() });

describe('OciRuntime', () => {
  it('tells the features of runc, and none of a runtime that has no such command or is not there', async () => {
    const features = await runtimeOf('runc').features();
    assert.ok(features.linux?.namespaces?.includes('network'));
    assert.ok(features.mountOptions?.includes('bind'));
    assert.deepEqual(await runtimeOf('false').features(), {});
    assert.deepEqual(await runtimeOf('/no/such/runtime').features(), {});
  });

  it('names the setting where the program is missing', async () => {
    await assert.rejects(runtimeOf('/no/such/runtime').update('x', {}), {
      code: 'failed_precondition',
      message: /set path under \[runtimes\.test\].*No such file/,
    });
  });

  for (const program of ['runc', 'crun'])
    it(`${program}: delete spares what runs unless forced, and what is absent is fine`, async () => {
      const container = await startBusybox(program);
      try {
        const { runtime, row } = container;
        await assert.rejects(runtime.delete(row.id, { force: false }), {
          code: 'internal',
          message: new RegExp(`^delete container ${row.id}: ${program}: `),
        });
        await runtime.update(row.id, {});
        await runtime.delete(row.id, { force: true });
        assert.deepEqual(await readdir(runtime.root), []);
        await runtime.delete(row.id, { force: false });
        await runtime.delete(row.id, { force: true });
        await assert.rejects(runtime.update(row.id, {}), {
          code: 'internal',
          message: /^update resources of/,
        });
      } finally {
        await container.remove();
      }
    });
});
