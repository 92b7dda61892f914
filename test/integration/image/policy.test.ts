import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { isCode } from '../../../src/base/errors.ts';
import { digestOf } from '../../../src/image/digest.ts';
import type { VerifierSettings } from '../../../src/image/policy/verifiers.ts';
import { dockerCredentials } from '../../../src/image/registry/docker-config.ts';
import { ImageNode, NOTHING } from './fixture.ts';
import { HostileRegistry, imageOf } from './hostile-registry.ts';

let directory: string;
let registry: HostileRegistry;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sk-verify-'));
  registry = await HostileRegistry.start(imageOf(randomBytes(10_000)));
});
after(async () => {
  await registry[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

async function program(path: string, script: string): Promise<void> {
  await writeFile(path, `#!/bin/sh\n${script}\n`);
  await chmod(path, 0o755);
}

describe('image verifiers', () => {
  let bin: string;
  beforeEach(async () => {
    bin = await mkdtemp(join(directory, 'bin-'));
  });

  async function pull(settings: Partial<VerifierSettings> = {}): Promise<string> {
    const verifier = { binDir: bin, maxVerifiers: 10, perVerifierTimeout: 5000, ...settings };
    const node = await ImageNode.start({ verifier });
    registry.server.seen.length = 0;
    try {
      return await node.pull(registry.image);
    } catch (error) {
      assert.ok(isCode(error, 'permission_denied'), String(error));
      assert.deepEqual(await node.counts(), NOTHING);
      assert.equal(registry.server.requests(registry.path('layer')).length, 0, 'no layer was fetched');
      return error.message;
    } finally {
      await node.stop();
    }
  }

  it('are told name, digest and descriptor, and all must agree', async () => {
    const seen = join(directory, 'seen');
    await program(join(bin, 'a'), `printf '%s\\n' "$@" >${seen}; cat >>${seen}; echo fine`);
    await program(join(bin, 'b'), 'exec 0<&-; echo also fine');
    assert.match(await pull(), /^sha256:/);
    const manifest = registry.bytes('manifest');
    const descriptor = {
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      digest: digestOf(manifest),
      size: manifest.length,
    };
    const lines = (await readFile(seen, 'utf8')).trim().split('\n');
    assert.deepEqual(lines.slice(0, 6), [
      '-name',
      registry.image,
      '-digest',
      descriptor.digest,
      '-stdin-media-type',
      'application/vnd.oci.descriptor.v1+json',
    ]);
    assert.deepEqual(JSON.parse(lines[6] ?? ''), descriptor);
    await program(join(bin, 'c'), 'echo "not signed by us"; exit 3');
    const message = await pull();
    assert.equal(
      message,
      `SignatureValidationFailed: pull ${registry.image}: the image verifier c rejected it (exit code 3): not signed by us`,
    );
  });

  it('are asked in name order, as many as max_verifiers', async () => {
    await program(join(bin, 'a'), 'exit 0');
    await program(join(bin, 'b'), 'exit 1');
    assert.match(await pull({ maxVerifiers: 1 }), /^sha256:/);
    assert.match(await pull({ maxVerifiers: 0 }), /^sha256:/);
    assert.match(await pull({ maxVerifiers: -1 }), /verifier b rejected/);
  });

  it('that hang, babble, cannot be run or end by a signal refuse the image', async () => {
    await program(join(bin, 'a'), 'sleep 60 & sleep 60');
    const started = performance.now();
    assert.match(await pull({ perVerifierTimeout: 300 }), /verifier a took longer than 0\.3 s/);
    assert.ok(performance.now() - started < 5000);
    await program(join(bin, 'a'), 'kill -9 $$');
    assert.match(await pull(), /rejected it \(signal 9\)/);
    await program(join(bin, 'a'), 'head -c 100000 /dev/zero | tr "\\0" x; exit 1');
    assert.match(await pull(), /: x{32768} \(truncated\)$/);
    await chmod(join(bin, 'a'), 0o644);
    assert.match(await pull(), /verifier a could not be run: .*Permission denied/);
    await rm(join(bin, 'a'));
    await mkdir(join(bin, 'directory'));
    assert.match(await pull(), /verifier directory could not be run/);
  });

  it('let everything through where there are none', async () => {
    assert.match(await pull(), /^sha256:/);
    assert.match(await pull({ binDir: join(bin, 'gone') }), /^sha256:/);
    assert.match(await pull({ binDir: '' }), /^sha256:/);
  });
});

it('a signature policy is asked before the registry is', async () => {
  const file = join(directory, 'policy.json');
  await writeFile(file, '{"default":[{"type":"reject"}]}');
  const node = await ImageNode.start({ signaturePolicy: file });
  registry.server.seen.length = 0;
  await assert.rejects(node.pull(registry.image), (error) => isCode(error, 'permission_denied'));
  assert.equal(registry.server.seen.length, 0);
  const accept = { docker: { [registry.server.host]: [{ type: 'insecureAcceptAnything' }] } };
  await writeFile(file, JSON.stringify({ default: [{ type: 'reject' }], transports: accept }));
  await node.pull(registry.image);
  await node.stop();
});

describe('docker credential helpers', () => {
  const never = new AbortController().signal;
  const wanted = { host: 'r.example:5000', path: 'app' };
  const path = process.env.PATH;
  let file: string;
  before(async () => {
    const bin = join(directory, 'helpers');
    await mkdir(bin);
    process.env.PATH = `${bin}${delimiter}${path}`;
    file = join(directory, 'config.json');
    const helper = (name: string, script: string) => program(join(bin, `docker-credential-${name}`), script);
    await helper('own', '[ "$1" = get ] && printf \'{"Username":"me","Secret":"for %s"}\' "$(cat)"');
    await helper('token', 'echo \'{"Username":"<token>","Secret":"refresh"}\'');
    await helper('empty', 'echo "credentials not found in native keychain"; exit 1');
    await helper('broken', 'echo "no session bus" >&2; exit 1');
    await helper('babbles', 'echo hush');
  });
  after(() => {
    process.env.PATH = path;
  });

  async function find(config: object) {
    await writeFile(file, JSON.stringify(config));
    return dockerCredentials(file, wanted, never);
  }

  it("answer for their host, then the store for all, then the file's own entries", async () => {
    const auths = { 'r.example:5000': { username: 'file', password: 'f' } };
    const own = await find({ credHelpers: { 'r.example:5000': 'own' }, credsStore: 'token', auths });
    assert.deepEqual([own?.username, own?.password], ['me', 'for r.example:5000']);
    const store = await find({ credHelpers: { other: 'own' }, credsStore: 'token', auths });
    assert.deepEqual([store?.username, store?.identityToken], ['', 'refresh']);
    const entry = await find({ credsStore: 'empty', auths });
    assert.equal(entry?.username, 'file');
    assert.equal(await find({ credsStore: 'empty' }), null);
  });

  it('that fail say why, and never what they printed instead of an answer', async () => {
    await assert.rejects(
      find({ credsStore: 'broken' }),
      /docker-credential-broken .* ended with 1: no session bus/,
    );
    await assert.rejects(find({ credsStore: 'babbles' }), (error: Error) => {
      assert.match(error.message, /is not JSON with Username and Secret/);
      return !/hush/.test(error.message);
    });
    await assert.rejects(find({ credsStore: 'none-such' }), /there is no such program in PATH/);
  });
});
