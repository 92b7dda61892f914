import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { isCode } from '../../../../src/base/errors.ts';
import { silentLog } from '../../../../src/base/log.ts';
import { digestOf } from '../../../../src/image/digest.ts';
import { parseReference } from '../../../../src/image/reference.ts';
import { blobBytes } from '../../../../src/image/registry/blob.ts';
import { type Connection, connectRegistry } from '../../../../src/image/registry/connect.ts';
import { endpointsOf } from '../../../../src/image/registry/endpoint.ts';
import { HttpClient } from '../../../../src/image/registry/http.ts';
import type { AuthConfig, RegistryConfig } from '../../../../src/image/types.ts';
import { ScriptedRegistry } from './server.ts';

const DOMAIN = 'registry.invalid:5000';
const MANIFEST = Buffer.from('{"schemaVersion":2}');
const LAYER = randomBytes(300_000);
const BLOB = { digest: digestOf(LAYER), size: LAYER.length };
const TAG = '/v2/team/app/manifests/1';
const BLOB_PATH = `/v2/team/app/blobs/${BLOB.digest}`;
const never = new AbortController().signal;

let directory: string;
let one: ScriptedRegistry;
let two: ScriptedRegistry;
const open: Connection[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sk-certs-'));
  one = await ScriptedRegistry.start();
  two = await ScriptedRegistry.start();
});
afterEach(async () => {
  for (const connection of open.splice(0)) await connection.close();
  await one[Symbol.asyncDispose]();
  await two[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

async function hosts(name: string, text: string): Promise<void> {
  await mkdir(join(directory, name), { recursive: true });
  await writeFile(join(directory, name, 'hosts.toml'), text);
}

async function connect(auth: Partial<AuthConfig> | null = null, registries: RegistryConfig = {}) {
  const none = {
    username: '',
    password: '',
    auth: '',
    serverAddress: '',
    identityToken: '',
    registryToken: '',
  };
  const connection = await connectRegistry(
    {
      reference: parseReference(`${DOMAIN}/team/app:1`),
      auth: auth === null ? null : { ...none, ...auth },
      settings: { configPath: directory, registries, globalAuthFile: '' },
      retry: { attempts: 2, firstDelayMs: 5 },
      stallTimeoutMs: 1000,
    },
    { log: silentLog() },
  );
  open.push(connection);
  return connection.client;
}

/** `server` out of the file, so that nobody asks for a name that does not resolve. */
const both = () => `server = "http://${two.host}"\n[host."http://${one.host}"]\n`;

describe('mirrors', () => {
  it('are asked in order, with ?ns= for whom; the last error tells of all', async () => {
    await hosts('registry.invalid_5000_', both());
    one.on(TAG, (_, response) => response.end(MANIFEST));
    const client = await connect();
    assert.equal((await client.manifest('1', never)).digest, digestOf(MANIFEST));
    assert.equal(one.seen[0]?.path, `${TAG}?ns=registry.invalid%3A5000`);
    assert.deepEqual(two.seen, []);
    one.on(TAG, (_, response) => response.writeHead(500).end());
    await assert.rejects(client.manifest('1', never), (error) => {
      assert.ok(isCode(error, 'not_found'));
      assert.match(error.message, /answered 404; check .* \(asked before: .*answered 500/);
      return true;
    });
    assert.equal(one.seen.length, 2, 'a mirror is tried once');
    two.on(TAG, (_, response) => response.end(MANIFEST));
    await client.manifest('1', never);
    assert.equal(one.seen.length, 2, 'a mirror that does not serve is asked last from then on');
  });

  it('without the capability "resolve" serve by digest only', async () => {
    await hosts(DOMAIN, `${both()}capabilities = ["pull"]\n`);
    for (const registry of [one, two]) {
      registry.on(TAG, (_, response) => response.end(MANIFEST));
      registry.on(`/v2/team/app/manifests/${digestOf(MANIFEST)}`, (_, response) => response.end(MANIFEST));
    }
    const client = await connect();
    await client.manifest('1', never);
    assert.deepEqual([one.seen.length, two.seen.length], [0, 1]);
    await client.manifest(digestOf(MANIFEST), never);
    assert.deepEqual([one.seen.length, two.seen.length], [1, 1]);
    await hosts(DOMAIN, `${both().replace('\n', '\ncapabilities = ["pull"]\n')}capabilities = ["pull"]\n`);
    await assert.rejects((await connect()).manifest('1', never), /no host has the capability "resolve"/);
  });

  it('that send other bytes than the digest are passed over', async () => {
    await hosts(DOMAIN, both());
    const path = `/v2/team/app/manifests/${digestOf(MANIFEST)}`;
    one.on(path, (_, response) => response.end('{"schemaVersion":3}'));
    two.on(path, (_, response) => response.end(MANIFEST));
    assert.ok((await (await connect()).manifest(digestOf(MANIFEST), never)).bytes.equals(MANIFEST));
  });

  it('get their own headers and API root, and redirects do not', async () => {
    await hosts(
      DOMAIN,
      `server = "http://${one.host}/mirror/root"\noverride_path = true\n[header]\nX-Key = "secret"\nauthorization = "Basic x"\n`,
    );
    one.on('/mirror/root/team/app/manifests/1', (_, response) =>
      response.writeHead(307, { location: `http://${two.host}/elsewhere` }).end(),
    );
    two.on('/elsewhere', (_, response) => response.end(MANIFEST));
    await (await connect()).manifest('1', never);
    assert.equal(one.seen[0]?.headers['x-key'], 'secret');
    assert.equal(one.seen[0]?.authorization, 'Basic x');
    assert.equal(two.seen[0]?.headers['x-key'], undefined);
    assert.equal(two.seen[0]?.authorization, '');
  });

  it('have credentials of their own', async () => {
    await hosts(DOMAIN, both());
    const basic = (pair: string) => `Basic ${Buffer.from(pair).toString('base64')}`;
    for (const registry of [one, two])
      registry.on(TAG, (_, response) =>
        response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end(),
      );
    const nothing = { plainHttp: false, skipVerify: false, caFile: '', auth: '', identityToken: '' };
    const registries = { [one.host]: { ...nothing, username: 'mirror', password: 'm' } };
    const client = await connect({ username: 'u', password: 'p', serverAddress: two.host }, registries);
    await assert.rejects(client.manifest('1', never), (error) => isCode(error, 'unauthenticated'));
    assert.equal(one.seen.at(-1)?.authorization, basic('mirror:m'));
    assert.equal(two.seen.at(-1)?.authorization, basic('u:p'));
  });

  it('a layer that is cut at one goes on at the next, where it ended', async () => {
    await hosts(DOMAIN, both());
    let cuts = 0;
    one.on(BLOB_PATH, (request, response) => {
      if (cuts++ > 0) return response.writeHead(503).end();
      response.writeHead(200, { 'content-length': LAYER.length });
      return response.write(LAYER.subarray(0, 100_000), () => setTimeout(() => request.socket.destroy(), 20));
    });
    two.on(BLOB_PATH, (request, response) => {
      const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1]);
      response.writeHead(206, { 'content-range': `bytes ${from}-${LAYER.length - 1}/${LAYER.length}` });
      response.end(LAYER.subarray(from));
    });
    const source = await (await connect()).blobSource(BLOB, never);
    const http = new HttpClient({ stallTimeoutMs: 1000, environment: {} });
    const parts: Uint8Array[] = [];
    const retry = { attempts: 3, firstDelayMs: 5 };
    // As it goes to a worker thread.
    for await (const part of blobBytes(structuredClone(source), { retry }, { http }, never)) parts.push(part);
    await http.close();
    assert.ok(Buffer.concat(parts).equals(LAYER));
    assert.match(two.seen[0]?.range ?? '', /^bytes=[1-9]\d*-$/);
  });

  it('a token that runs out in the middle of a layer is renewed', async () => {
    await hosts(DOMAIN, `server = "http://${one.host}"`);
    let valid = 0;
    one.on('/token', (_, response) =>
      response.end(JSON.stringify({ token: `t${++valid}`, expires_in: 300 })),
    );
    one.on(BLOB_PATH, (request, response) => {
      if (request.headers.authorization !== `Bearer t${valid}`)
        return response
          .writeHead(401, { 'www-authenticate': `Bearer realm="http://${one.host}/token"` })
          .end();
      const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
      const length = LAYER.length - from;
      response.writeHead(from === 0 ? 200 : 206, {
        'content-length': length,
        'content-range': `bytes ${from}-${LAYER.length - 1}/${LAYER.length}`,
      });
      if (length <= 100_000) return response.end(LAYER.subarray(from));
      return response.write(LAYER.subarray(from, from + 100_000), () => {
        valid += 10;
        setTimeout(() => request.socket.destroy(), 20);
      });
    });
    const source = await (await connect()).blobSource(BLOB, never);
    const http = new HttpClient({ stallTimeoutMs: 1000, environment: {} });
    const parts: Uint8Array[] = [];
    const retry = { attempts: 3, firstDelayMs: 5 };
    for await (const part of blobBytes(source, { retry }, { http }, never)) parts.push(part);
    await http.close();
    assert.ok(Buffer.concat(parts).equals(LAYER));
    assert.ok(one.requests('/token').length >= 3, `${one.requests('/token').length} tokens`);
  });
});

describe('certs.d', () => {
  const addresses = async (domain: string, configPath = directory) =>
    (await endpointsOf(domain, { configPath, registries: {} })).map(
      ({ schemes, address, namespace }) => `${schemes.join('|')} ${address} ${namespace}`,
    );

  it('host_port_ comes before host:port before _default, and is read anew each time', async () => {
    assert.deepEqual(await addresses('r.example:5000'), ['https r.example:5000/v2 ']);
    await hosts('_default', '[host."https://default.example"]');
    assert.deepEqual(await addresses('r.example:5000'), [
      'https default.example/v2 r.example:5000',
      'https r.example:5000/v2 ',
    ]);
    await hosts('r.example:5000', 'server = "http://colon.example"');
    assert.deepEqual(await addresses('r.example:5000'), ['http colon.example/v2 r.example:5000']);
    await hosts('r.example_5000_', 'server = "https://unders.example"');
    assert.deepEqual(await addresses('r.example:5000'), ['https unders.example/v2 r.example:5000']);
    assert.equal((await addresses('r.example'))[0], 'https default.example/v2 r.example');
    await hosts('[fd00::1]_5000_', 'server = "https://six.example"');
    assert.deepEqual(await addresses('[fd00::1]:5000'), ['https six.example/v2 [fd00::1]:5000']);
  });

  it('the first of several directories that knows the host decides', async () => {
    await hosts('second/r.example', 'server = "https://second.example"');
    await hosts('first/other', 'server = "https://other.example"');
    const path = `${directory}/none:${directory}/first:${directory}/second`;
    assert.deepEqual(await addresses('r.example', path), ['https second.example/v2 r.example']);
  });

  it('Docker Hub is one registry under all its names', async () => {
    assert.deepEqual(await addresses('docker.io'), ['https registry-1.docker.io/v2 ']);
    await hosts('docker.io', 'server = "https://docker.io"\n[host."https://m.example"]');
    assert.deepEqual(await addresses('docker.io'), [
      'https m.example/v2 docker.io',
      'https registry-1.docker.io/v2 ',
    ]);
  });

  it('http with settings for TLS is tried with TLS first, loopback without', async () => {
    await hosts('r.example', '[host."http://m.example:5000"]\nskip_verify = true\n[host."http://n.example"]');
    assert.deepEqual(await addresses('r.example'), [
      'https|http m.example:5000/v2 r.example',
      'http n.example/v2 r.example',
      'https r.example/v2 ',
    ]);
    assert.deepEqual(await addresses('localhost:5000'), ['http|https localhost:5000/v2 ']);
  });

  it('files of certificates take the place of a hosts.toml; what is missing is named', async () => {
    const pem = (what: string) => `-----BEGIN ${what}-----\nx\n-----END ${what}-----\n`;
    await mkdir(join(directory, 'r.example'));
    const write = (name: string, text: string) => writeFile(join(directory, 'r.example', name), text);
    await write('a.crt', pem('CERTIFICATE'));
    await write('client.cert', pem('CERTIFICATE'));
    await write('client.key', pem('EC PRIVATE KEY'));
    const [endpoint] = await endpointsOf('r.example', { configPath: directory, registries: {} });
    assert.deepEqual(endpoint?.transport.ca, [pem('CERTIFICATE')]);
    assert.deepEqual(endpoint?.transport.clients, [{ cert: pem('CERTIFICATE'), key: pem('EC PRIVATE KEY') }]);
    await rm(join(directory, 'r.example/client.key'));
    await assert.rejects(addresses('r.example'), /client\.cert holds no PEM private key/);
    await hosts('r.example', 'ca = "gone.pem"');
    await assert.rejects(addresses('r.example'), /registry r\.example: ENOENT.*r\.example\/gone\.pem/);
  });
});
