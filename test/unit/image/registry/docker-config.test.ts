import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, it } from 'node:test';
import { dockerCredentials } from '../../../../src/image/registry/docker-config.ts';

const never = new AbortController().signal;
let directory: string;
let file: string;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sk-docker-'));
  file = join(directory, 'config.json');
});
after(() => rm(directory, { recursive: true }));

const auth = (pair: string) => ({ auth: Buffer.from(pair).toString('base64') });

async function find(config: unknown, host: string, path = 'team/app') {
  await writeFile(file, typeof config === 'string' ? config : JSON.stringify(config));
  const found = await dockerCredentials(file, { host, path }, never);
  return found === null
    ? null
    : `${found.username}:${found.password}${found.identityToken}${found.registryToken}`;
}

it('auths are found by host, by URL and by repository, the longest first', async () => {
  const auths = {
    'https://index.docker.io/v1/': auth('hub:h'),
    'r.example': auth('host:1'),
    'r.example/team': auth('team:2'),
    'r.example/team/app': auth('app:3'),
    'https://url.example/v2/': auth('url:4'),
    'port.example:5000': { username: 'plain', password: 'p:q' },
    'token.example': { ...auth('0000:'), identitytoken: 'identity' },
    'bearer.example': { registrytoken: 'bearer' },
  };
  const table: [host: string, path: string, found: string | null][] = [
    ['registry-1.docker.io', 'library/busybox', 'hub:h'],
    ['r.example', 'team/app', 'app:3'],
    ['r.example', 'team/other', 'team:2'],
    ['r.example', 'teamwork/app', 'host:1'],
    ['r.example:5000', 'team/app', null],
    ['url.example', 'x', 'url:4'],
    ['port.example:5000', 'x', 'plain:p:q'],
    ['token.example', 'x', '0000:identity'],
    ['bearer.example', 'x', ':bearer'],
    ['unknown.example', 'x', null],
  ];
  for (const [host, path, found] of table)
    assert.equal(await find({ auths }, host, path), found, `${host}/${path}`);
  assert.equal(await find({}, 'r.example'), null);
});

it('what is wrong is told without what stands there', async () => {
  await assert.rejects(find('{"auths": {"r.example": {"auth": "c2VjcmV0"', 'r.example'), (error: Error) => {
    assert.match(error.message, /^read global_auth_file: .*config\.json is not a JSON object$/);
    assert.doesNotMatch(`${error.message} ${error.cause}`, /c2Vj/);
    return true;
  });
  const auths = { 'r.example': { auth: Buffer.from('secret').toString('base64') } };
  await assert.rejects(find({ auths }, 'r.example'), (error: Error) => {
    assert.match(error.message, /credentials for r\.example in .*: auth is not base64 of user:password/);
    return !/c2Vj|secret/.test(error.message);
  });
  const named = { credsStore: '../../bin/sh' };
  await assert.rejects(
    find(named, 'r.example'),
    /docker-credential-\.\.\/\.\.\/bin\/sh .*no such program in PATH/,
  );
  await rm(file);
  await assert.rejects(
    dockerCredentials(file, { host: 'h', path: 'p' }, never),
    /read global_auth_file: ENOENT/,
  );
});
