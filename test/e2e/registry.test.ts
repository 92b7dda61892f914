import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { promisify } from 'node:util';
import type { AuthConfig } from '../../src/cri/gen/runtime/v1/AuthConfig.ts';
import { errorOf } from '../../src/cri/status-code.ts';
import { TestAuthority } from '../harness/certificates.ts';
import { Crictl } from '../harness/crictl.ts';
import { TestDaemon } from '../harness/daemon.ts';
import { busyboxImage, TestRegistry } from '../harness/registry.ts';
import { TokenServer } from '../harness/token-server.ts';

/** Pulls from Debian's docker-registry as clusters have it: with passwords, tokens, TLS, mirrors. */

const run = promisify(execFile);
const PROGRAM = join(import.meta.dirname, '../../dist/skiff');
const USER = 'puller';
const PASSWORD = 'pa55-wOrd';
const REFRESH = 'r3fresh-tOken';
const CREDS = `${USER}:${PASSWORD}`;
/** Names no host: only a mirror can serve it. */
const ELSEWHERE = 'registry.invalid:5000';

let directory: string;
let layout: string;
let authority: TestAuthority;
let daemon: TestDaemon;
let crictl: Crictl;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sk-reg-'));
  layout = await busyboxImage(directory);
  await mkdir(join(directory, 'tls'));
  authority = await TestAuthority.make(join(directory, 'tls'));
  daemon = await TestDaemon.start({ tables: `[image]\nconfig_path = '${certs()}'` });
  crictl = await Crictl.for(daemon);
});
after(async () => {
  await daemon[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});
afterEach(async () => {
  await daemon.clear();
  await rm(certs(), { recursive: true, force: true });
});

function certs(): string {
  return join(directory, 'certs.d');
}

async function hosts(name: string, text: string): Promise<void> {
  await mkdir(join(certs(), name), { recursive: true });
  await writeFile(join(certs(), name, 'hosts.toml'), text);
}

/** Begins a test with another configuration of registries; the daemon takes it over by `skiff config reload`. */
async function configure(tables: string): Promise<void> {
  await mkdir(join(daemon.directory, 'config.d'), { recursive: true });
  await writeFile(join(daemon.directory, 'config.d/registries.toml'), tables);
  await skiff('config', 'reload');
}

async function skiff(...args: string[]): Promise<string> {
  const { stdout } = await run(PROGRAM, ['--config', daemon.config, ...args]);
  return stdout;
}

async function pullOverCri(image: string, auth?: AuthConfig): Promise<string> {
  const { image_ref } = await daemon.cri.images.PullImage({ image: { image }, ...(auth && { auth }) });
  return image_ref;
}

/** The image is there under the name that was asked for, and is gone afterwards. */
async function removed(image: string): Promise<void> {
  const { images } = await crictl.json<{ images: { repoTags: string[]; repoDigests: string[] }[] }>('images');
  assert.deepEqual(images[0]?.repoTags, [image]);
  assert.match(images[0]?.repoDigests[0] ?? '', new RegExp(`^${image.replace(/:[^:]*$/, '')}@sha256:`));
  await crictl.run('rmi', image);
  for (const place of ['layers', 'staging', 'images/blobs'])
    assert.deepEqual(await readdir(join(daemon.root, place)), [], place);
}

/** bcrypt is the only hash that docker-registry takes; perl's crypt has it. */
async function htpasswd(): Promise<string> {
  const { stdout } = await run('perl', ['-e', 'print crypt($ARGV[0], q($2y$05$) . "a" x 22)', PASSWORD]);
  const file = join(directory, 'htpasswd');
  await writeFile(file, `${USER}:${stdout}\n`);
  return `auth:\n  htpasswd:\n    realm: test\n    path: ${file}\n`;
}

describe('a registry with passwords', () => {
  let registry: TestRegistry;
  let image: string;
  before(async () => {
    registry = await TestRegistry.start({ extra: await htpasswd() });
    await registry.push(layout, 'busybox:1', ['--dest-creds', CREDS]);
    image = `${registry.host}/busybox:1`;
  });
  after(() => registry.stop());
  afterEach(() => configure(''));

  it('is pulled with credentials of the call', async () => {
    await crictl.run('pull', '--creds', CREDS, image);
    await removed(image);
    await crictl.run('pull', '--auth', Buffer.from(CREDS).toString('base64'), image);
    await removed(image);
    await pullOverCri(image, { username: USER, password: PASSWORD, server_address: registry.host });
    await removed(image);
  });

  it('refuses who has none, wrong ones, or those of another server', async () => {
    for (const args of [[], ['--creds', `${USER}:wrong`]]) {
      const { code, stderr } = await crictl.try('pull', ...args, image);
      assert.equal(code, 1);
      assert.match(stderr, /Unauthenticated.*answered 401 .*check the credentials or the image's name/);
    }
    await assert.rejects(
      pullOverCri(image, { username: USER, password: PASSWORD, server_address: 'other.example' }),
      (error) => errorOf(error).code === 'unauthenticated',
    );
  });

  it('is pulled with the credentials of our configuration, which nothing shows', async () => {
    await configure(
      `[image.registries."${registry.host}"]\nusername = "${USER}"\npassword = "${PASSWORD}"\n`,
    );
    await crictl.run('pull', image);
    await removed(image);
    assert.match(await skiff('pull', '--quiet', image), /^sha256:/);
    await removed(image);
    const shown =
      (await skiff('config', 'show', '--running')) + (await skiff('config', 'show', daemon.config));
    assert.match(shown, /username = "puller"\npassword = "\(hidden\)"/);
    const traces = [shown, await readFile(daemon.log, 'utf8')];
    for (const name of await readdir(daemon.root))
      if (name.startsWith('skiff.db')) traces.push(await readFile(join(daemon.root, name), 'latin1'));
    for (const trace of traces) {
      assert.ok(trace.length > 100);
      for (const secret of [
        PASSWORD,
        Buffer.from(CREDS).toString('base64'),
        Buffer.from(PASSWORD).toString('base64'),
      ])
        assert.ok(!trace.includes(secret));
    }
  });

  it('is pulled with those of a docker configuration file, written by hand or by skopeo', async () => {
    const file = join(directory, 'auth.json');
    await run('skopeo', [
      'login',
      '--authfile',
      file,
      '--tls-verify=false',
      '-u',
      USER,
      '-p',
      PASSWORD,
      registry.host,
    ]);
    await configure(`[image]\nglobal_auth_file = "${file}"\n`);
    assert.match(await skiff('pull', '--quiet', image), /^sha256:/);
    await removed(image);
    await writeFile(file, '{"auths":{}}');
    const { stderr } = await crictl.try('pull', image);
    assert.match(stderr, /answered 401/, 'the file is read for each pull');
  });
});

describe('a registry with a token server', () => {
  let registry: TestRegistry;
  let tokens: TokenServer;
  let image: string;
  before(async () => {
    const pair = await authority.issue('tokens', ['DNS:tokens']);
    tokens = await TokenServer.start({ pair, user: CREDS, refreshToken: REFRESH });
    registry = await TestRegistry.start({ extra: tokens.registrySettings });
    await registry.push(layout, 'team/busybox:1', ['--dest-creds', CREDS]);
    image = `${registry.host}/team/busybox:1`;
  });
  after(async () => {
    await registry.stop();
    await tokens[Symbol.asyncDispose]();
  });
  beforeEach(() => {
    tokens.asked.length = 0;
  });

  it('gives a token for the repository to who has a password', async () => {
    await crictl.run('pull', '--creds', CREDS, image);
    assert.deepEqual(tokens.asked, [{ method: 'GET', scopes: ['repository:team/busybox:pull'], who: USER }]);
    await removed(image);
  });

  it('and to who has an identity token', async () => {
    await pullOverCri(image, { identity_token: REFRESH });
    assert.deepEqual(tokens.asked, [
      { method: 'POST', scopes: ['repository:team/busybox:pull'], who: 'refresh' },
    ]);
    await removed(image);
    await configure(`[image.registries."${registry.host}"]\nidentity_token = "${REFRESH}"\n`);
    await skiff('pull', '--quiet', image);
    await removed(image);
    await configure('');
  });

  it('and to nobody else', async () => {
    for (const args of [[], ['--creds', `${USER}:wrong`]]) {
      const { stderr } = await crictl.try('pull', ...args, image);
      assert.match(stderr, /Unauthenticated.*answered 401/);
    }
    await assert.rejects(pullOverCri(image, { registry_token: 'made.up.token' }), /answered 401/);
    assert.deepEqual(await readdir(join(daemon.root, 'staging')), []);
  });
});

describe('a registry with TLS of a private authority', () => {
  let registry: TestRegistry;
  let image: string;
  before(async () => {
    const { cert, key } = await authority.issue('registry', ['IP:127.0.0.1']);
    registry = await TestRegistry.start({ extra: `  tls:\n    certificate: ${cert}\n    key: ${key}\n` });
    await registry.push(layout, 'busybox:1');
    image = `${registry.host}/busybox:1`;
  });
  after(() => registry.stop());

  it('is not trusted, and said to be unavailable in the way that the kubelet knows', async () => {
    await assert.rejects(pullOverCri(image), (error) => {
      const { code, message } = errorOf(error);
      assert.equal(code, 'unknown');
      assert.match(message, /^RegistryUnavailable: .*certificate is not trusted on this node/);
      return true;
    });
  });

  it('is, with the authority in its directory, without a restart', async () => {
    const name = registry.host.replace(':', '_').concat('_');
    await mkdir(join(certs(), name), { recursive: true });
    await writeFile(join(certs(), name, 'ca.crt'), await readFile(authority.root.cert));
    await crictl.run('pull', image);
    await removed(image);
    await hosts(registry.host, '');
    await rm(join(certs(), name), { recursive: true });
    await hosts(registry.host, `ca = "${authority.root.cert}"`);
    assert.match(await skiff('pull', '--quiet', image), /^sha256:/);
    await removed(image);
    await hosts(registry.host, 'skip_verify = true');
    await crictl.run('pull', image);
    await removed(image);
  });

  it('is a mirror for a name that has no host', async () => {
    const name = `${ELSEWHERE}/busybox:1`;
    await hosts('_default', `[host."https://${registry.host}"]\nca = "${authority.root.cert}"`);
    await crictl.run('pull', name);
    await removed(name);
    const asked = await registry.accesses();
    assert.ok(asked.some(({ path }) => path.endsWith('?ns=registry.invalid%3A5000')));
  });
});

describe('mirrors', () => {
  let registry: TestRegistry;
  let locked: TestRegistry;
  before(async () => {
    registry = await TestRegistry.start();
    locked = await TestRegistry.start({ extra: await htpasswd() });
    await registry.push(layout, 'team/busybox:1');
    await locked.push(layout, 'team/busybox:1', ['--dest-creds', CREDS]);
  });
  after(async () => {
    await registry.stop();
    await locked.stop();
  });

  it('serve under the name that was asked for, the next where one fails', async () => {
    const name = `${ELSEWHERE}/team/busybox:1`;
    await hosts(
      'registry.invalid_5000_',
      `server = "http://${registry.host}"\n[host."http://127.0.0.1:1"]\n[host."http://${locked.host}"]\n`,
    );
    await crictl.run('pull', name);
    await removed(name);
    assert.match(await skiff('pull', '--quiet', name), /^sha256:/);
    await removed(name);
  });

  it('get the credentials of the pull', async () => {
    const name = `${ELSEWHERE}/team/busybox:1`;
    await hosts(ELSEWHERE, `server = "http://${locked.host}"`);
    await crictl.run('pull', '--creds', CREDS, name);
    await removed(name);
  });

  it('that all fail are all named', async () => {
    await hosts(ELSEWHERE, `server = "http://127.0.0.1:1"\n[host."http://${locked.host}"]\n`);
    const { stderr } = await crictl.try('pull', `${ELSEWHERE}/team/busybox:1`);
    assert.match(stderr, /RegistryUnavailable: .*connection refused.*asked before: 127\.0\.0\.1:\d+: .*401/);
  });

  it('a hosts.toml that cannot be read fails the pull, instead of going around it', async () => {
    await hosts(ELSEWHERE, '[host."http://x"]\ncapabilities = ["pul"]');
    const { stderr } = await crictl.try('pull', `${ELSEWHERE}/team/busybox:1`);
    assert.match(stderr, /FailedPrecondition.*hosts\.toml: host\..*\.capabilities: expected one of/);
  });
});

it('a policy that rejects an image is told in the way that the kubelet knows', async () => {
  const file = join(directory, 'policy.json');
  await writeFile(file, '{"default":[{"type":"reject"}]}');
  await configure(`[image]\nsignature_policy = "${file}"\n`);
  await assert.rejects(pullOverCri(`${ELSEWHERE}/x:1`), (error) => {
    const { code, message } = errorOf(error);
    assert.equal(code, 'unknown');
    assert.match(message, /^SignatureValidationFailed: pull registry\.invalid:5000\/x:1: .*rejects it/);
    return true;
  });
  await configure('');
});
