import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { isCode } from '../../../../src/base/errors.ts';
import { checkSignaturePolicy } from '../../../../src/image/policy/signature-policy.ts';
import { parseReference } from '../../../../src/image/reference.ts';

const ACCEPT = [{ type: 'insecureAcceptAnything' }];
const REJECT = [{ type: 'reject' }];

let directory: string;
let file: string;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sk-policy-'));
  file = join(directory, 'policy.json');
});
after(() => rm(directory, { recursive: true }));

async function check(reference: string, policy: unknown): Promise<string> {
  await writeFile(file, typeof policy === 'string' ? policy : JSON.stringify(policy));
  try {
    await checkSignaturePolicy(file, parseReference(reference));
    return 'accepted';
  } catch (error) {
    assert.ok(isCode(error, 'permission_denied'), String(error));
    assert.match(error.message, /^SignatureValidationFailed: pull /);
    return error.message;
  }
}

describe('the most specific scope decides', () => {
  const digest = `sha256:${'a'.repeat(64)}`;
  const table: [what: string, scope: string, reference: string][] = [
    ['a reference with its tag', 'r.example:5000/team/app:1', 'r.example:5000/team/app:1'],
    ['a reference with its digest', `r.example/app@${digest}`, `r.example/app@${digest}`],
    ['a repository', 'r.example:5000/team/app', 'r.example:5000/team/app:1'],
    ['what is above it', 'r.example:5000/team', 'r.example:5000/team/app:1'],
    ['a host with its port', 'r.example:5000', 'r.example:5000/team/app:1'],
    ['a domain', '*.example', 'r.example:5000/team/app:1'],
    ['Docker Hub by its full name', 'docker.io/library/busybox', 'busybox'],
    ['the transport', '', 'r.example/app'],
  ];
  for (const [what, scope, reference] of table)
    it(what, async () => {
      const scopes = { [scope]: ACCEPT, ...(scope !== '' && { '': REJECT }) };
      assert.equal(await check(reference, { default: REJECT, transports: { docker: scopes } }), 'accepted');
    });

  it('and no other', async () => {
    for (const scope of [
      'r.example',
      'r.example:5000/te',
      'r.example:5000/team/app:2',
      '*.other',
      '*.r.example',
    ])
      assert.match(
        await check('r.example:5000/team/app:1', {
          default: REJECT,
          transports: { docker: { [scope]: ACCEPT } },
        }),
        /rejects it \(.*policy\.json, default\)/,
        scope,
      );
    assert.match(
      await check('r.example/a/b', {
        default: ACCEPT,
        transports: { docker: { 'r.example': ACCEPT, 'r.example/a': REJECT } },
      }),
      /rejects it \(.*, transports\.docker\."r\.example\/a"\)/,
    );
    const other = { default: REJECT, transports: { 'docker-daemon': { '': ACCEPT } } };
    assert.match(await check('r.example/a', other), /rejects it/);
  });
});

it('what asks for a signature is refused, because none is verified', async () => {
  for (const type of ['signedBy', 'sigstoreSigned'])
    assert.match(
      await check('a', { default: [{ type, keyType: 'GPGKeys', keyPath: '/k' }] }),
      new RegExp(
        `asks for "${type}" .*, which skiff does not verify; let a program of image.verifier.bin_dir`,
      ),
    );
  assert.match(await check('a', { default: [{ type: 'new' }] }), /"new" .*, which is no known type/);
  assert.match(await check('a', { default: [...ACCEPT, ...REJECT] }), /rejects it/, 'all must hold');
});

it('a policy that cannot be read lets nothing through', async () => {
  for (const [policy, message] of [
    ['{', /cannot be used/],
    ['[]', /it must be an object/],
    ['{}', /default must be a list with at least one requirement/],
    [{ default: [] }, /at least one requirement/],
    [{ default: ACCEPT, transports: { docker: { '': 'x' } } }, /transports\.docker\."" must be a list/],
    [{ default: [{}] }, /each of default must have a type/],
  ] as const)
    assert.match(await check('a', policy), message);
  await rm(file);
  await assert.rejects(checkSignaturePolicy(file, parseReference('a')), /^SkiffError: SignatureVal.*ENOENT/);
});
