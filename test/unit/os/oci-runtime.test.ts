import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { silentLog } from '../../../src/base/log.ts';
import { errorInLog, OciRuntime } from '../../../src/os/oci-runtime.ts';

const options = { name: 'runc', path: '/usr/sbin/runc', root: '/run/skiff/runc', systemdCgroup: false };

describe('errorInLog', () => {
  it('is the last error among lines of any kind', () => {
    const log = [
      '{"level":"warning","msg":"a warning","time":"2026-01-01T00:00:00Z"}',
      '{"level":"error","msg":"the first","time":"2026-01-01T00:00:00Z"}',
      'not JSON at all',
      '"a string"',
      '{"level":"error","msg":"the last","time":"2026-01-01T00:00:00Z"}',
      '{"level":"info","msg":"later, but no error"}',
      '',
    ].join('\n');
    assert.equal(errorInLog(log), 'the last');
  });

  it('is undefined where nothing failed', () => {
    assert.equal(errorInLog(''), undefined);
    assert.equal(errorInLog('null\n{"level":"warning","msg":"x"}'), undefined);
  });
});

describe('OciRuntime', () => {
  it('puts the global arguments before the command', () => {
    const files = { processFile: '/p', logFile: '/l', pidFile: '/i' };
    const runtime = new OciRuntime({ ...options, systemdCgroup: true }, { log: silentLog() });
    assert.equal(
      runtime.execCommand({ id: 'box', ...files, detach: true, tty: false }).join(' '),
      '/usr/sbin/runc --root /run/skiff/runc --systemd-cgroup --log /l --log-format json exec --process /p --pid-file /i --detach box',
    );
    assert.deepEqual(new OciRuntime(options, { log: silentLog() }).globalArgs(), [
      '--root',
      '/run/skiff/runc',
    ]);
  });
});
