import assert from 'node:assert/strict';
import { it } from 'node:test';
import { parse } from 'smol-toml';
import { parseConfig } from '../../../src/config/load.ts';
import { referenceTable, tomlText } from '../../../src/config/render.ts';
import { defaultTable, ROOT, type Shape, tableOf } from '../../../src/config/shape.ts';

function leaves(shape: Shape, path: string): string[] {
  if (shape.kind !== 'section') return [path];
  return shape.keys.flatMap((key) => leaves(key.shape, path === '' ? key.name : `${path}.${key.name}`));
}

it('the default text parses back to the defaults and is a valid file', () => {
  assert.deepEqual(structuredClone(parse(tomlText())), defaultTable());
  assert.deepEqual(parseConfig([{ name: 'default', text: tomlText() }]), parseConfig([]));
});

it('the text of any configuration gives that configuration again', () => {
  const changed = parseConfig([
    {
      name: 'c.toml',
      text: '[stats]\ncollect_period = "1500ms"\n[image.registries."a.example:5000"]\nplain_http = true\n[runtimes.kata]\npath = "/k"\n',
    },
  ]);
  const text = tomlText(tableOf(changed));
  assert.match(text, /collect_period = "1500ms"/);
  assert.deepEqual(parseConfig([{ name: 'again', text }]), changed);
});

it('every key has a description and a row in the reference', () => {
  const reference = referenceTable();
  for (const path of leaves(ROOT, '')) assert.ok(reference.includes(`\`${path}`), path);
  for (const row of reference.split('\n').slice(2)) assert.doesNotMatch(row, /\| *\|/, row);
});

it('the examples in the comments are valid', () => {
  const lines = tomlText().split('\n');
  const start = lines.findIndex((line) => line.startsWith('# [image.registries.'));
  const example = lines.slice(start, start + 2).map((line) => line.slice(2));
  const config = parseConfig([{ name: 'example', text: example.join('\n') }]);
  assert.equal(Object.values(config.image.registries)[0]?.plainHttp, true);
});
