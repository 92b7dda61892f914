import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Challenge, parseChallenges } from '../../../../src/image/registry/challenge.ts';

describe('parseChallenges', () => {
  const table: [string, string | string[] | undefined, Challenge[]][] = [
    ['nothing', undefined, []],
    [
      'a token server',
      'Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push"',
      [
        {
          scheme: 'bearer',
          parameters: {
            realm: 'https://auth.example/token',
            service: 'registry.example',
            scope: 'repository:a/b:pull,push',
          },
        },
      ],
    ],
    [
      'basic',
      'Basic realm="a \\"quoted\\" realm"',
      [{ scheme: 'basic', parameters: { realm: 'a "quoted" realm' } }],
    ],
    [
      'several in one header',
      'Negotiate, Basic realm="x", Bearer realm=y , service = "z"',
      [
        { scheme: 'negotiate', parameters: {} },
        { scheme: 'basic', parameters: { realm: 'x' } },
        { scheme: 'bearer', parameters: { realm: 'y', service: 'z' } },
      ],
    ],
    [
      'several headers',
      ['Basic realm="x"', 'Bearer realm="y"'],
      [
        { scheme: 'basic', parameters: { realm: 'x' } },
        { scheme: 'bearer', parameters: { realm: 'y' } },
      ],
    ],
    [
      'token68 credentials',
      'Negotiate YWJj/ZGVm==, Basic realm="x"',
      [
        { scheme: 'negotiate', parameters: {} },
        { scheme: 'basic', parameters: { realm: 'x' } },
      ],
    ],
    ['names in capitals', 'BEARER Realm="R"', [{ scheme: 'bearer', parameters: { realm: 'R' } }]],
    ['an unended quote', 'Basic realm="x', [{ scheme: 'basic', parameters: { realm: 'x' } }]],
    ['garbage', '"', []],
    ['empty parts', ', ,Basic realm="",,', [{ scheme: 'basic', parameters: { realm: '' } }]],
  ];
  for (const [name, header, expected] of table)
    it(`reads ${name}`, () => assert.deepEqual(parseChallenges(header), expected));
});
