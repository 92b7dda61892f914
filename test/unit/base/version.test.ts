import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { it } from 'node:test';
import { VERSION } from '../../../src/base/version.ts';

it('the version is that of package.json', async () => {
  const text = await readFile(join(import.meta.dirname, '../../../package.json'), 'utf8');
  assert.equal((JSON.parse(text) as { version: string }).version, VERSION);
});
