import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { describe, it } from 'node:test';
import { envOf, mountOf, portOf } from '../../../src/cli/run-spec.ts';

describe('-p', () => {
  const good: [text: string, port: [string, number, number, string]][] = [
    ['8080:80', ['', 8080, 80, 'TCP']],
    ['127.0.0.1:8080:80', ['127.0.0.1', 8080, 80, 'TCP']],
    ['[::1]:8080:80/udp', ['::1', 8080, 80, 'UDP']],
    ['5:5/sctp', ['', 5, 5, 'SCTP']],
  ];
  for (const [text, [host_ip, host_port, container_port, protocol]] of good) {
    it(text, () => assert.deepEqual(portOf(text), { host_ip, host_port, container_port, protocol }));
  }
  for (const text of ['80', ':80', '0:80', '80:65536', '80:80/icmp', 'a:b', '::1:80:80', '']) {
    it(`${text || 'nothing'} is refused`, () =>
      assert.throws(() => portOf(text), /-p: expected .*HOST:CONTAINER/));
  }
});

describe('-v', () => {
  it('takes absolute and relative paths of the host', () => {
    assert.deepEqual(mountOf('/a:/b'), { host_path: '/a', container_path: '/b', readonly: false });
    assert.deepEqual(mountOf('./x:/b:ro'), { host_path: resolve('x'), container_path: '/b', readonly: true });
  });
  for (const text of ['/a', '/a:b', ':/b', '/a:/b:rx', '/a:/b:ro:z', '']) {
    it(`${text || 'nothing'} is refused`, () =>
      assert.throws(() => mountOf(text), /-v: expected HOST:CONTAINER/));
  }
});

describe('-e', () => {
  it('takes a value, an empty value, or the value of the caller', () => {
    process.env.SKIFF_TEST_VALUE = 'mine';
    assert.deepEqual(envOf('A=b=c'), { key: 'A', value: 'b=c' });
    assert.deepEqual(envOf('A='), { key: 'A', value: '' });
    assert.deepEqual(envOf('SKIFF_TEST_VALUE'), { key: 'SKIFF_TEST_VALUE', value: 'mine' });
    delete process.env.SKIFF_TEST_VALUE;
    assert.deepEqual(envOf('SKIFF_TEST_VALUE'), { key: 'SKIFF_TEST_VALUE', value: '' });
  });
  it('needs a name', () => assert.throws(() => envOf('=x'), /-e: expected KEY=VALUE/));
});
