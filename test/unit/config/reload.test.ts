import assert from 'node:assert/strict';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { silentLog } from '../../../src/base/log.ts';
import { configSource, loadConfig } from '../../../src/config/load.ts';
import { LiveConfig } from '../../../src/config/reload.ts';
import type { Config } from '../../../src/config/schema.ts';

const START = 'root = "/a"\n[log]\nlevel = "info"\n';

describe('a running daemon', () => {
  let directory: string;
  let file: string;
  let live: LiveConfig;
  let told: string[][];
  let heard: PromiseWithResolvers<Config>;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'sk-reload-'));
    file = join(directory, 'config.toml');
    await writeFile(file, START);
    told = [];
    heard = Promise.withResolvers();
    const source = configSource(file);
    const applied = (config: Config, keys: string[]) => {
      told.push(keys);
      heard.resolve(config);
    };
    live = new LiveConfig({ config: await loadConfig(source), source }, { log: silentLog(), applied });
  });
  afterEach(async () => {
    live.stop();
    await rm(directory, { recursive: true });
  });

  it('takes reloadable keys over and says which need a restart', async () => {
    await writeFile(
      file,
      'root = "/b"\n[log]\nlevel = "debug"\n[image.registries."h:1"]\nplain_http = true\n',
    );
    assert.deepEqual(await live.reload(), {
      applied: ['log.level', 'image.registries'],
      needRestart: ['root'],
    });
    assert.equal(live.current.log.level, 'debug');
    assert.equal(live.current.image.registries['h:1']?.plainHttp, true);
    assert.equal(live.current.root, '/a');
    assert.deepEqual(told, [['log.level', 'image.registries']]);
  });

  it('keeps what it has where nothing changed', async () => {
    const before = live.current;
    assert.deepEqual(await live.reload(), { applied: [], needRestart: [] });
    assert.deepEqual(live.current, before);
    assert.deepEqual(told, []);
  });

  it('keeps the old configuration where the new one is invalid, and says why', async () => {
    await writeFile(file, '[log]\nlevel = "debug"\nlevl = 1\n');
    await assert.rejects(live.reload(), /the old one stays in force: .*config\.toml:3: log\.levl/);
    assert.equal(live.current.log.level, 'info');
    await writeFile(file, '[log]\nlevel = "warn"\n');
    await live.reload();
    assert.equal(live.current.log.level, 'warn');
  });

  it('notices a file that is replaced', async () => {
    live.start();
    await writeFile(join(directory, 'new'), '[log]\nlevel = "error"\n');
    await rename(join(directory, 'new'), file);
    assert.equal((await heard.promise).log.level, 'error');
  });

  it('reloads on SIGHUP', async () => {
    live.start();
    await writeFile(file, '[log]\nlevel = "fatal"\n');
    process.kill(process.pid, 'SIGHUP');
    assert.equal((await heard.promise).log.level, 'fatal');
  });
});
