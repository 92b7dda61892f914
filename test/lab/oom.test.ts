import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DRIVER, Pod, RUNTIMES } from './fixture.ts';

const MIB = 1024 * 1024;
const LIMIT = {
  linux: { resources: { memory_limit_in_bytes: 24 * MIB, memory_swap_limit_in_bytes: 24 * MIB } },
};
/** Touches 64 MiB. */
const EAT = 'dd if=/dev/zero of=/dev/null bs=64M count=1';

for (const runtime of RUNTIMES) {
  describe(`a container out of memory under ${DRIVER} with ${runtime}`, () => {
    it('ends with OOMKilled and 137 where its first process is killed', async () => {
      await using pod = await Pod.run({}, runtime);
      const { reason, exit_code } = await (await pod.start(`exec ${EAT}`, LIMIT)).ended();
      assert.deepEqual([reason, exit_code], ['OOMKilled', 137]);
    });

    it('ends with OOMKilled and 137 where a child is killed and the first process passes its code on', async () => {
      await using pod = await Pod.run({}, runtime);
      const { reason, exit_code } = await (await pod.start(`${EAT}; exit $?`, LIMIT)).ended();
      assert.deepEqual([reason, exit_code], ['OOMKilled', 137]);
    });

    it('ends whole with memory.oom.group', async () => {
      await using pod = await Pod.run({}, runtime);
      const resources = { ...LIMIT.linux.resources, unified: { 'memory.oom.group': '1' } };
      const container = await pod.start(`(${EAT}); sleep 1000`, { linux: { resources } });
      const { reason, exit_code } = await container.ended();
      assert.deepEqual([reason, exit_code], ['OOMKilled', 137]);
    });

    it('an exit of its own is not called so', async () => {
      await using pod = await Pod.run({}, runtime);
      const { reason, exit_code } = await (await pod.start('exit 137', LIMIT)).ended();
      assert.deepEqual([reason, exit_code], ['Error', 137]);
    });
  });
}
