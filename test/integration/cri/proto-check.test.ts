import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { delimiter, dirname, join } from 'node:path';
import { describe, it } from 'node:test';

const script = join(import.meta.dirname, '../../../scripts/proto.sh');
/** Exit code for: no Go here, or no way to the module. */
const CANNOT_FETCH = 3;

describe('scripts/proto.sh --check', () => {
  it('holds proto/ against the Go module', { timeout: 120_000 }, (t) => {
    const env = { ...process.env, PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH}` };
    const { status, stdout, stderr } = spawnSync(script, ['--check'], { env, encoding: 'utf8' });
    if (status === CANNOT_FETCH) {
      t.skip(stderr.trim());
      return;
    }
    assert.equal(status, 0, stderr);
    assert.match(stdout, /\d{3} facts agree with the Go descriptor/);
    assert.match(stdout, /generated files agree with proto\/api\.proto/);
  });
});
