import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  CAPABILITIES,
  capabilitiesOfMask,
  capabilityName,
  containerCapabilities,
  DEFAULT_CAPABILITIES,
} from '../../../../src/container/spec/capabilities.ts';

const HOST = CAPABILITIES.filter((name) => name !== 'CAP_SYS_RESOURCE');
const held = (add: string[], drop: string[]) =>
  containerCapabilities({ add, drop, addAmbient: [] }, false, HOST);
const without = (list: readonly string[], ...names: string[]) => list.filter((name) => !names.includes(name));

describe('containerCapabilities', () => {
  it('is the default set where nothing is asked', () => {
    assert.deepEqual(
      containerCapabilities(null, false, HOST).toSorted(),
      [...DEFAULT_CAPABILITIES].toSorted(),
    );
    assert.equal(DEFAULT_CAPABILITIES.length, 14);
  });

  it('adds, then drops', () => {
    const result = held(['net_admin', 'CAP_SYS_TIME', 'Kill'], ['CHOWN', 'SYS_TIME']);
    assert.deepEqual(
      result.toSorted(),
      [...without(DEFAULT_CAPABILITIES, 'CAP_CHOWN'), 'CAP_NET_ADMIN'].toSorted(),
    );
  });

  it('takes ALL before single names, wherever it stands', () => {
    assert.deepEqual(held(['ALL'], []), HOST);
    assert.deepEqual(held(['all'], ['CHOWN']), without(HOST, 'CAP_CHOWN'));
    assert.deepEqual(held(['CHOWN'], ['ALL']), ['CAP_CHOWN']);
    assert.deepEqual(held(['CHOWN', 'ALL', 'KILL'], ['KILL', 'ALL']), ['CAP_CHOWN']);
    assert.deepEqual(held([], ['ALL']), []);
  });

  it('gives a privileged container all that the host holds, whatever it drops', () => {
    assert.deepEqual(containerCapabilities({ add: [], drop: ['ALL'], addAmbient: [] }, true, HOST), HOST);
  });

  it('never adds to what is not known', () => {
    assert.throws(() => held(['SYS_MAGIC'], []), { code: 'invalid_argument', message: /SYS_MAGIC/ });
    assert.throws(() => held([], ['CAP_']), { code: 'invalid_argument' });
    assert.throws(() => capabilityName(''), { code: 'invalid_argument' });
  });
});

describe('capabilitiesOfMask', () => {
  it('reads the bits by the numbers of linux/capability.h', () => {
    assert.deepEqual(capabilitiesOfMask('0000000000000000'), []);
    assert.deepEqual(capabilitiesOfMask('0000010000200001'), [
      'CAP_CHOWN',
      'CAP_SYS_ADMIN',
      'CAP_CHECKPOINT_RESTORE',
    ]);
    assert.deepEqual(capabilitiesOfMask('000001ffffffffff'), [...CAPABILITIES]);
    // What /proc/PID/status shows in any container with the default set.
    assert.deepEqual(capabilitiesOfMask('00000000a80425fb').toSorted(), [...DEFAULT_CAPABILITIES].toSorted());
  });
});
