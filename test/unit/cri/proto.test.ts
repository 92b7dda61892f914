import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { deriveProto, factsOfText, goDescriptor, tokens } from '../../../scripts/proto.ts';
import { imageService, message, runtimeService } from '../../../src/cri/proto.ts';

const repo = join(import.meta.dirname, '../../..');
const proto = readFileSync(join(repo, 'proto/api.proto'), 'utf8');

describe('deriveProto', () => {
  it('drops prose and keeps every statement', () => {
    const text = [
      '/* licence */ syntax = "proto3"; // a "quoted" word',
      'package a.b;',
      'service S { rpc M(Q) returns (stream R) {} }',
      '// about Q',
      'message Q{ map<string,string> labels=3 ; repeated  int32 n = 1 [deprecated=true]; /* x; y */ }',
      'message R {}',
      'enum E { A = 0; }',
    ].join('\n');
    const derived = deriveProto(text);
    assert.deepEqual(derived.split('\n').slice(1), [
      'syntax = "proto3";',
      'package a.b;',
      '',
      'service S {',
      '  rpc M(Q) returns (stream R) {}',
      '}',
      '',
      'message Q {',
      '  map<string, string> labels = 3;',
      '  repeated int32 n = 1 [deprecated = true];',
      '}',
      '',
      'message R {}',
      '',
      'enum E {',
      '  A = 0;',
      '}',
      '',
    ]);
    assert.deepEqual(factsOfText(derived), factsOfText(text));
  });

  it('gives the committed file again when it is applied to it', () => {
    assert.equal(deriveProto(proto), proto);
    assert.equal(proto.match(/\/\/|\/\*/g)?.length, 1, 'one comment: where the file comes from');
    assert.ok(tokens(proto).length > 3000);
  });
});

describe('goDescriptor', () => {
  it('reads the bytes of Go string literals', () => {
    const go = Buffer.from(
      'const file_rawDesc = "" +\n\t"\\n" +\n\t"8a\\x00\\"\\\\\\a\\bé" +\n\t"z"\n\nvar x = "no"',
      'utf8',
    );
    assert.deepEqual(goDescriptor(go), Buffer.from('\n8a\0"\\\x07\béz', 'utf8'));
  });
});

describe('the CRI interface', () => {
  it('has generated types that agree with proto/api.proto', () => {
    const output = execFileSync(process.execPath, [join(repo, 'scripts/proto.ts'), 'offline-check']);
    assert.match(output.toString(), /generated files agree/);
  });

  it('is loaded whole', () => {
    const methods = factsOfText(proto).filter((fact) => fact.startsWith('method '));
    const loaded = [...Object.keys(runtimeService), ...Object.keys(imageService)];
    assert.equal(loaded.length, methods.length);
    for (const name of loaded)
      assert.ok(
        methods.some((fact) => fact.includes(`Service.${name} `)),
        name,
      );
  });

  it('keeps the last digit of a 64-bit number', () => {
    const type = message('Container');
    const sent = { id: 'x', created_at: '1700000000000000001', labels: { a: 'b' } };
    const got = type.deserialize(type.serialize(sent));
    assert.equal(got.created_at, '1700000000000000001');
    assert.deepEqual(got.labels, { a: 'b' });
    assert.equal(got.state, 'CONTAINER_CREATED');
    assert.equal(got.metadata, null);
  });
});
