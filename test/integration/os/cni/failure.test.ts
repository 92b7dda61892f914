import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { SkiffError } from '../../../../src/base/errors.ts';
import { rulesWith, TestNetwork } from './network.ts';

const ERROR_7 = `echo '{"cniVersion":"1.0.0","code":7,"msg":"no such vlan","details":"vlan 70 is not there"}'; exit 1`;

describe('CNI when a plugin does not do its work', () => {
  let net: TestNetwork;
  beforeEach(async () => {
    net = await TestNetwork.make(32);
  });
  afterEach(() => net.end());

  async function nothingLeft(id: string): Promise<void> {
    assert.deepEqual(await net.addresses(), []);
    assert.deepEqual(rulesWith(id, '10.199.32.'), []);
  }

  it('fails by the name of the plugin with its own words, and leaves nothing', async () => {
    // It fails for DEL too: the others must be undone all the same.
    await net.script('vlanner', ERROR_7);
    await net.configure(net.plugins({ type: 'vlanner' }));
    const cni = await net.cni();
    const pod = await net.pod({ portMappings: [{ hostPort: 18032, containerPort: 80, protocol: 'tcp' }] });
    await assert.rejects(cni.add(pod), (error) => {
      assert.ok(error instanceof SkiffError);
      assert.equal(error.code, 'failed_precondition');
      assert.match(
        error.message,
        /^CNI plugin vlanner \(ADD\): no such vlan; vlan 70 is not there \(code 7\)/,
      );
      assert.match(error.message, /clean-up failed too: CNI plugin vlanner \(DEL\)/);
      return true;
    });
    assert.deepEqual(
      (await net.calls('vlanner')).map((line) => line.split(' ')[0]),
      ['ADD', 'DEL'],
    );
    await nothingLeft(pod.id);
  });

  it('tells what a plugin said that dies without an error object', async () => {
    await net.script('crasher', 'echo "segfault in vlan code" >&2; exit 2');
    await net.configure([{ type: 'crasher' }]);
    const cni = await net.cni();
    await assert.rejects(cni.add(await net.pod()), /crasher \(ADD\): exit code 2: segfault in vlan code/);
  });

  it('kills a plugin that hangs, and what it started, when its time is over', async () => {
    const pidFile = join(net.directory, 'pid');
    await net.script('hanger', `[ $CNI_COMMAND = ADD ] || exit 0; sleep 1000 & echo $! >${pidFile}; wait`);
    await net.configure(net.plugins({ type: 'hanger' }));
    const cni = await net.cni({ timeoutMs: 2000 });
    const pod = await net.pod();
    await assert.rejects(cni.add(pod), (error) => {
      assert.ok(error instanceof SkiffError);
      assert.equal(error.code, 'deadline_exceeded');
      assert.match(error.message, /hanger \(ADD\): no answer within 2 s, killed/);
      return true;
    });
    await assertDead(pidFile);
    await nothingLeft(pod.id);
  });

  it('kills it when the caller goes away', async () => {
    const pidFile = join(net.directory, 'pid');
    await net.script('hanger', `[ $CNI_COMMAND = ADD ] || exit 0; sleep 1000 & echo $! >${pidFile}; wait`);
    await net.configure(net.plugins({ type: 'hanger' }));
    const cni = await net.cni();
    const pod = await net.pod();
    const gone = new AbortController();
    const adding = cni.add(pod, gone.signal);
    for (let i = 0; i < 100 && (await net.calls('hanger')).length === 0; i += 1) await sleep(50);
    gone.abort();
    await assert.rejects(adding, (error) => error instanceof SkiffError && error.code === 'canceled');
    await assertDead(pidFile);
    await nothingLeft(pod.id);
  });

  it('names a binary that is missing, also in the status, until it is there', async () => {
    await net.configure(net.plugins({ type: 'missing' }));
    const cni = await net.cni();
    const { ready, reason, message } = cni.status();
    assert.deepEqual({ ready, reason }, { ready: false, reason: 'NetworkPluginNotReady' });
    assert.match(message, /CNI plugin "missing" not found in .*\/usr\/lib\/cni: install it there/);
    const pod = await net.pod();
    await assert.rejects(cni.add(pod), /CNI plugin "missing" not found/);
    await nothingLeft(pod.id);
    await net.script(
      'missing',
      `[ $CNI_COMMAND = ADD ] && echo "$INPUT" | sed 's/.*"prevResult"://;s/}$//'; exit 0`,
    );
    await cni.del(pod, await cni.add(pod));
    for (let i = 0; i < 50 && !cni.status().ready; i += 1) await sleep(200);
    assert.equal(cni.status().ready, true);
  });

  it('ends DEL at a plugin that fails, so that no address is free with rules on it, and can go on later', async () => {
    const flag = join(net.directory, 'broken');
    await net.script(
      'keeper',
      `[ $CNI_COMMAND = ADD ] && { echo "$INPUT" | sed 's/.*"prevResult"://;s/}$//'; exit 0; }; [ -e ${flag} ] && exit 1; exit 0`,
    );
    await net.configure(net.plugins({ type: 'keeper' }));
    const cni = await net.cni();
    const pod = await net.pod();
    const network = await cni.add(pod);
    await writeFile(flag, '');
    await assert.rejects(cni.del(pod, network), /keeper \(DEL\): exit code 1/);
    assert.deepEqual(await net.addresses(), [network.ip]);
    await rm(flag);
    await cni.del(pod, network);
    await nothingLeft(pod.id);
    // prevResult of DEL is the final result of ADD (SPEC.md section 3).
    assert.deepEqual((await net.input('keeper', 'DEL')).prevResult, network.result);
  });

  it('refuses a network that gives no address', async () => {
    await net.script('empty', `[ $CNI_COMMAND = ADD ] && echo '{"cniVersion":"1.0.0"}'; exit 0`);
    await net.configure([{ type: 'empty' }]);
    const cni = await net.cni();
    await assert.rejects(cni.add(await net.pod()), /test32 gave the pod no address/);
    assert.deepEqual(
      (await net.calls('empty')).map((line) => line.split(' ')[0]),
      ['ADD', 'DEL'],
    );
  });

  async function assertDead(pidFile: string): Promise<void> {
    const pid = Number(await readFile(pidFile, 'utf8'));
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    assert.ok(stat === '' || stat.includes(') Z '), `process ${pid} lives on: ${stat}`);
  }
});
