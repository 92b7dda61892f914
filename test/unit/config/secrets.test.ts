import assert from 'node:assert/strict';
import { it } from 'node:test';
import { parseConfig } from '../../../src/config/load.ts';
import { tomlText } from '../../../src/config/render.ts';
import { tableOf } from '../../../src/config/shape.ts';

const TABLE = '[image.registries."r.example:5000"]\n';

it('are in the configuration, and hidden wherever it is shown', () => {
  const text = `${TABLE}username = "me"\npassword = "s3cret-1"\nauth = "s3cret-2"\nidentity_token = "s3cret-3"\n`;
  const config = parseConfig([{ name: 'c.toml', text }]);
  const registry = config.image.registries['r.example:5000'];
  assert.deepEqual(
    [registry?.password, registry?.auth, registry?.identityToken],
    ['s3cret-1', 's3cret-2', 's3cret-3'],
  );
  const shown = tableOf(config);
  assert.doesNotMatch(JSON.stringify(shown), /s3cret/);
  const file = tomlText(shown);
  assert.doesNotMatch(file, /s3cret/);
  assert.match(file, /username = "me"\npassword = "\(hidden\)"/);
});

it('that are not set are shown as such', () => {
  const shown = tableOf(parseConfig([{ name: 'c.toml', text: `${TABLE}plain_http = true` }]));
  assert.match(tomlText(shown), /password = ""/);
});

it('that have a wrong type are not quoted', () => {
  assert.throws(
    () => parseConfig([{ name: 'c.toml', text: `${TABLE}password = 123456` }]),
    (error: Error) =>
      /^c\.toml:2: image\.registries\."r\.example:5000"\.password: expected a text, found something else$/.test(
        error.message,
      ),
  );
});
