import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { onlyLoopback, resolvConfOf, writeSandboxFiles } from '../../../src/sandbox/files.ts';
import { sandboxConfig } from './config.ts';

describe('sandbox files', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'skiff-files-'));
  });
  afterEach(() => rm(directory, { recursive: true }));

  it('writes what the pod says', async () => {
    const dns = {
      servers: ['10.0.0.10', 'fd00::10'],
      searches: ['a.svc', 'svc'],
      options: ['ndots:5', 'edns0'],
    };
    const files = await writeSandboxFiles(directory, sandboxConfig({ dns, hostname: 'web-0' }));
    assert.equal(
      await readFile(files.resolvConf, 'utf8'),
      'search a.svc svc\nnameserver 10.0.0.10\nnameserver fd00::10\noptions ndots:5 edns0\n',
    );
    assert.equal(await readFile(files.hostname, 'utf8'), 'web-0\n');
    assert.equal(await readFile(files.hosts, 'utf8'), await readFile('/etc/hosts', 'utf8'));
  });

  it("takes the node's own where the pod says nothing", async () => {
    const files = await writeSandboxFiles(
      directory,
      sandboxConfig({ hostname: '', dns: { servers: [], searches: [], options: [] } }, { network: 'node' }),
    );
    assert.equal(await readFile(files.resolvConf, 'utf8'), await readFile('/etc/resolv.conf', 'utf8'));
    assert.equal(await readFile(files.hostname, 'utf8'), `${hostname()}\n`);
  });
});

describe('resolv.conf', () => {
  it('has a line for each thing that is given', () => {
    assert.equal(resolvConfOf(null), '');
    assert.equal(resolvConfOf({ servers: [], searches: ['x'], options: [] }), 'search x\n');
    assert.equal(resolvConfOf({ servers: ['1.1.1.1'], searches: [], options: [] }), 'nameserver 1.1.1.1\n');
  });

  it('knows a stub resolver that a pod cannot reach', () => {
    assert.equal(onlyLoopback('# x\nnameserver 127.0.0.53\noptions edns0\n'), true);
    assert.equal(onlyLoopback('nameserver 127.0.0.53\nnameserver 9.9.9.9\n'), false);
    assert.equal(onlyLoopback('nameserver ::1\n'), true);
    assert.equal(onlyLoopback('search x\n'), false);
  });
});
