import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect as connectTo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { endpointsOf } from '../../../src/image/registry/endpoint.ts';
import { HttpClient } from '../../../src/image/registry/http.ts';
import { Peer } from '../../../src/image/registry/peer.ts';
import type { RegistryConfig } from '../../../src/image/types.ts';
import { type KeyPair, pemTexts, TestAuthority } from '../../harness/certificates.ts';
import { ScriptedRegistry } from '../../unit/image/registry/server.ts';

const PATH = '/v2/app/thing';

let directory: string;
let authority: TestAuthority;
let client: KeyPair;
let registry: ScriptedRegistry;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sk-tls-'));
  authority = await TestAuthority.make(directory);
  const server = await authority.issue('server', ['IP:127.0.0.1', 'DNS:registry.invalid']);
  client = await authority.issue('client', ['DNS:client']);
  const { cert: ca } = await pemTexts(authority.root);
  registry = await ScriptedRegistry.start({ ...(await pemTexts(server)), ca });
  registry.on(PATH, (request, response) => {
    const { subject } = (request.socket as TLSSocket).getPeerCertificate();
    response.end(`hello ${subject?.CN ?? 'nobody'}`);
  });
});
after(async () => {
  await registry[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

/** What the registry says to a client that is set up so. */
async function ask(
  hosts: string | null,
  options: { registries?: RegistryConfig; environment?: Record<string, string>; domain?: string } = {},
): Promise<string> {
  const configPath = join(directory, 'certs.d');
  const domain = options.domain ?? registry.host;
  await rm(configPath, { recursive: true, force: true });
  await mkdir(join(configPath, domain), { recursive: true });
  if (hosts !== null) await writeFile(join(configPath, domain, 'hosts.toml'), hosts);
  const [endpoint] = await endpointsOf(domain, { configPath, registries: options.registries ?? {} });
  assert.ok(endpoint !== undefined);
  const http = new HttpClient({ stallTimeoutMs: 5000, environment: options.environment ?? {} });
  const authorization = { scope: 's', credentials: null, header: '', expiresAt: 0 };
  const request = { path: 'app/thing', headers: {}, signal: AbortSignal.timeout(10_000), action: 'ask' };
  try {
    const { answer, call } = await new Peer({ endpoint, authorization }, { http }).get(request);
    return (await http.readBody(answer, 1000, call)).toString();
  } finally {
    await http.close();
  }
}

describe('TLS', () => {
  it('holds to the authorities of the system unless others are named', async () => {
    await assert.rejects(ask(null), /certificate is not trusted on this node/);
    const server = `server = "https://${registry.host}"\n`;
    await assert.rejects(ask(server), /certificate is not trusted on this node/);
    assert.equal(await ask(`${server}ca = "${authority.root.cert}"`), 'hello nobody');
    assert.equal(await ask(`ca = ["../../ca.pem"]`), 'hello nobody', 'relative to the file');
    assert.equal(await ask(`${server}skip_verify = true`), 'hello nobody');
  });

  it('takes authorities from our own configuration, too', async () => {
    const nothing = { plainHttp: false, username: '', password: '', auth: '', identityToken: '' };
    const own = { ...nothing, skipVerify: false, caFile: authority.root.cert };
    assert.equal(await ask('', { registries: { [registry.host]: own } }), 'hello nobody');
    const any = { ...nothing, skipVerify: true, caFile: '' };
    assert.equal(await ask('', { registries: { [registry.host]: any } }), 'hello nobody');
    await assert.rejects(ask('skip_verify = false', { registries: { [registry.host]: any } }), /not trusted/);
  });

  it('shows a client certificate', async () => {
    const pair = `client = [["${client.cert}", "${client.key}"]]`;
    assert.equal(await ask(`ca = "${authority.root.cert}"\n${pair}`), 'hello client');
    const { cert, key } = await pemTexts(client);
    const both = join(directory, 'both.pem');
    await writeFile(both, cert + key);
    assert.equal(await ask(`ca = "${authority.root.cert}"\nclient = "${both}"`), 'hello client');
    const other = (await authority.issue('other', ['DNS:other'])).key;
    await assert.rejects(
      ask(`ca = "${authority.root.cert}"\nclient = [["${client.cert}", "${other}"]]`),
      /read the certificates for the registry: .*key values mismatch/,
    );
  });

  it('is tried first at an http address that has settings for it; one that is not trusted stays that', async () => {
    const host = `[host."http://${registry.host}"]\n`;
    assert.equal(await ask(`${host}ca = "${authority.root.cert}"`), 'hello nobody');
    const stranger = await TestAuthority.make(await mkdtemp(join(directory, 'stranger-')));
    await assert.rejects(ask(`${host}ca = "${stranger.root.cert}"`), /not trusted/);
    await using plain = await ScriptedRegistry.start();
    plain.on(PATH, (_, response) => response.end('in the open'));
    assert.equal(await ask(`[host."http://${plain.host}"]\nskip_verify = true`), 'in the open');
  });
});

describe('a proxy for https', () => {
  let proxy: Server;
  const asked: { target: string; authorization: string }[] = [];
  before(async () => {
    proxy = createServer().on('connect', (request, socket) => {
      asked.push({
        target: request.url ?? '',
        authorization: request.headers['proxy-authorization'] ?? '',
      });
      if (request.headers['proxy-authorization'] === undefined)
        return socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n');
      const [host = '', port = ''] = registry.host.split(':');
      const upstream = connectTo(Number(port), host, () => {
        socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
        upstream.pipe(socket).pipe(upstream);
      });
      upstream.on('error', () => socket.destroy());
      socket.on('error', () => upstream.destroy());
      return undefined;
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  });
  after(() => {
    proxy.closeAllConnections();
    proxy.close();
  });

  it('is asked for a tunnel, inside which the settings of the registry hold', async () => {
    const { port } = proxy.address() as AddressInfo;
    const through = (user: string) => ({
      domain: 'registry.invalid',
      environment: { https_proxy: `http://${user}127.0.0.1:${port}`, NO_PROXY: 'other.invalid' },
    });
    const trusted = `ca = "${authority.root.cert}"\n`;
    const pair = `client = [["${client.cert}", "${client.key}"]]`;
    assert.equal(await ask(`${trusted}${pair}`, through('me:secret@')), 'hello client');
    const authorization = `Basic ${Buffer.from('me:secret').toString('base64')}`;
    assert.deepEqual(asked, [{ target: 'registry.invalid:443', authorization }]);
    await assert.rejects(ask('', through('me:secret@')), /not trusted/);
    await assert.rejects(ask(trusted, through('')), (error: Error) => {
      assert.match(error.message, /ask through the proxy http:\/\/127\.0\.0\.1:\d+: .*407/);
      return true;
    });
    const seen = registry.seen.flatMap(({ headers }) => Object.keys(headers));
    assert.ok(!seen.includes('proxy-authorization'));
  });
});
