import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { type ErrorCode, isCode } from '../../../../src/base/errors.ts';
import { silentLog } from '../../../../src/base/log.ts';
import { digestOf } from '../../../../src/image/digest.ts';
import { parseReference } from '../../../../src/image/reference.ts';
import { blobBytes } from '../../../../src/image/registry/blob.ts';
import { RegistryClient } from '../../../../src/image/registry/client.ts';
import { endpointsOf } from '../../../../src/image/registry/endpoint.ts';
import { isLoopback } from '../../../../src/image/registry/host-name.ts';
import { HttpClient } from '../../../../src/image/registry/http.ts';
import { Keychain } from '../../../../src/image/registry/keychain.ts';
import type { AuthConfig } from '../../../../src/image/types.ts';
import { ScriptedRegistry } from './server.ts';

const RETRY = { attempts: 3, firstDelayMs: 5 };
const MANIFEST = Buffer.from('{"schemaVersion":2}');
const TAG = '/v2/app/manifests/latest';
const never = new AbortController().signal;

interface Client {
  client: RegistryClient;
  http: HttpClient;
}

/** A client for `<host>/app` and the registry that it talks to; both end with `work`. */
async function withRegistry(
  work: (
    registry: ScriptedRegistry,
    connect: (auth?: Partial<AuthConfig>) => Promise<Client>,
  ) => Promise<void>,
): Promise<void> {
  await using registry = await ScriptedRegistry.start();
  const http = new HttpClient({ stallTimeoutMs: 300, environment: {} });
  const connect = async (auth?: Partial<AuthConfig>) => {
    const none = {
      username: '',
      password: '',
      auth: '',
      serverAddress: '',
      identityToken: '',
      registryToken: '',
    };
    const given = auth === undefined ? null : { ...none, ...auth };
    const log = silentLog();
    const keychain = new Keychain({ auth: given, registries: {}, globalAuthFile: '' }, { log });
    const endpoints = await endpointsOf(registry.host, { configPath: '', registries: {} });
    const options = { reference: parseReference(`${registry.host}/app`), endpoints, retry: RETRY };
    return { client: new RegistryClient(options, { http, keychain, log }), http };
  };
  try {
    await work(registry, connect);
  } finally {
    await http.close();
  }
}

function fails(code: ErrorCode, message: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(isCode(error, code), String(error));
    assert.match(error.message, message);
    return true;
  };
}

describe('manifests', () => {
  it('are verified by the digest that was asked for, and by the one that the registry claims', () =>
    withRegistry(async (registry, connect) => {
      const digest = digestOf('something else');
      registry.on(`/v2/app/manifests/${digest}`, (_, response) => response.end(MANIFEST));
      registry.on(TAG, (_, response) => response.setHeader('docker-content-digest', digest).end(MANIFEST));
      const both = new RegExp(`has digest ${digestOf(MANIFEST)}, expected ${digest}`);
      await assert.rejects((await connect()).client.manifest(digest, never), fails('data_loss', both));
      await assert.rejects((await connect()).client.manifest('latest', never), fails('data_loss', both));
    }));

  it('that are endless are given up', () =>
    withRegistry(async (registry, connect) => {
      registry.on(TAG, (_, response) => {
        const more = () => {
          while (!response.destroyed && response.write(Buffer.alloc(1 << 20)));
        };
        response.on('drain', more);
        more();
      });
      await assert.rejects(
        (await connect()).client.manifest('latest', never),
        fails('failed_precondition', /longer than/),
      );
    }));

  it('are asked for again after errors that pass, as often as is decent', () =>
    withRegistry(async (registry, connect) => {
      for (const status of [500, 502, 503, 429]) {
        let refused = 0;
        registry.on(TAG, (_, response) => {
          if (refused++ < 2) response.writeHead(status, { 'retry-after': '0' }).end();
          else response.end(MANIFEST);
        });
        assert.equal((await (await connect()).client.manifest('latest', never)).digest, digestOf(MANIFEST));
        assert.equal(refused, 3);
      }
      let tries = 0;
      registry.on(TAG, (_, response) => {
        tries++;
        response.writeHead(503).end('{"errors":[{"code":"UNAVAILABLE","message":"try later"}]}');
      });
      const error = /^RegistryUnavailable: .*answered 503 \(UNAVAILABLE: try later\)/;
      await assert.rejects((await connect()).client.manifest('latest', never), fails('unavailable', error));
      assert.equal(tries, RETRY.attempts);
    }));

  it('a connection that is cut is tried again', () =>
    withRegistry(async (registry, connect) => {
      let cuts = 0;
      registry.on(TAG, (request, response) => {
        if (cuts++ === 0) request.socket.resetAndDestroy();
        else response.end(MANIFEST);
      });
      assert.equal((await (await connect()).client.manifest('latest', never)).digest, digestOf(MANIFEST));
      assert.equal(cuts, 2);
    }));

  it('other answers have their codes', () =>
    withRegistry(async (registry, connect) => {
      const table: [number, ErrorCode][] = [
        [404, 'not_found'],
        [401, 'unauthenticated'],
        [403, 'permission_denied'],
        [400, 'failed_precondition'],
        [501, 'unavailable'],
      ];
      for (const [status, code] of table) {
        registry.on(TAG, (_, response) => response.writeHead(status).end('<html>\nsorry'));
        await assert.rejects(
          (await connect()).client.manifest('latest', never),
          fails(code, new RegExp(`answered ${status}`)),
        );
      }
    }));

  it('are given up when the caller goes away, also while waiting to try again', () =>
    withRegistry(async (registry, connect) => {
      registry.on(TAG, (_, response) => response.writeHead(503, { 'retry-after': '20' }).end());
      const started = performance.now();
      await assert.rejects((await connect()).client.manifest('latest', AbortSignal.timeout(80)), /timeout/);
      registry.on(TAG, () => undefined);
      await assert.rejects(
        (await connect()).client.manifest('latest', AbortSignal.timeout(80)),
        fails('deadline_exceeded', /fetch manifest latest/),
      );
      assert.ok(performance.now() - started < 5_000);
    }));
});

describe('authorization', () => {
  /** A registry whose manifests need a token of its own token server. */
  function guard(registry: ScriptedRegistry, accepts: () => string): void {
    registry.on(TAG, (request, response) => {
      if (request.headers.authorization === accepts()) return response.end(MANIFEST);
      const realm = `Bearer realm="http://${registry.host}/token",service="s v",scope="repository:app:pull"`;
      return response.writeHead(401, { 'www-authenticate': realm }).end();
    });
  }

  it('a token is fetched when the registry asks for one, and kept for the next request', () =>
    withRegistry(async (registry, connect) => {
      guard(registry, () => 'Bearer t1');
      registry.on('/token', (_, response) => response.end('{"token":"t1"}'));
      const { client } = await connect();
      await client.manifest('latest', never);
      await client.manifest('latest', never);
      const asked = registry.requests('/token');
      assert.equal(asked.length, 1);
      assert.equal(asked[0]?.path, '/token?service=s+v&scope=repository%3Aapp%3Apull');
      assert.equal(asked[0]?.authorization, '');
    }));

  it('credentials go to the token server; access_token is a token too', () =>
    withRegistry(async (registry, connect) => {
      guard(registry, () => 'Bearer t2');
      registry.on('/token', (_, response) => response.end('{"access_token":"t2"}'));
      const basic = `Basic ${Buffer.from('user:pa:ss').toString('base64')}`;
      await (await connect({ username: 'user', password: 'pa:ss' })).client.manifest('latest', never);
      await (await connect({ auth: Buffer.from('user:pa:ss').toString('base64') })).client.manifest(
        'latest',
        never,
      );
      assert.deepEqual(
        registry.requests('/token').map((seen) => seen.authorization),
        [basic, basic],
      );
      assert.ok(registry.requests(TAG).every((seen) => !seen.authorization.startsWith('Basic')));
    }));

  it('a registry that goes on asking is refused, not asked for ever', () =>
    withRegistry(async (registry, connect) => {
      guard(registry, () => 'nothing pleases it');
      let count = 0;
      registry.on('/token', (_, response) => response.end(JSON.stringify({ token: `t${count++}` })));
      await assert.rejects(
        (await connect()).client.manifest('latest', never),
        fails('unauthenticated', /check the credentials/),
      );
      assert.ok(registry.requests(TAG).length <= 2);
      registry.on('/token', (_, response) => response.writeHead(401).end());
      await assert.rejects(
        (await connect()).client.manifest('latest', never),
        fails('unauthenticated', /fetch a token/),
      );
      registry.on('/token', (_, response) => response.end('<html>'));
      await assert.rejects(
        (await connect()).client.manifest('latest', never),
        fails('unavailable', /holds no token/),
      );
    }));

  it('basic authentication, and credentials for another server kept back', () =>
    withRegistry(async (registry, connect) => {
      const basic = `Basic ${Buffer.from('u:p').toString('base64')}`;
      registry.on(TAG, (request, response) => {
        if (request.headers.authorization === basic) return response.end(MANIFEST);
        return response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end();
      });
      const own = { username: 'u', password: 'p' };
      await (await connect(own)).client.manifest('latest', never);
      await (await connect({ ...own, serverAddress: `https://${registry.host}/v2/` })).client.manifest(
        'latest',
        never,
      );
      registry.seen.length = 0;
      await assert.rejects(
        (await connect({ ...own, serverAddress: 'other.example' })).client.manifest('latest', never),
        fails('unauthenticated', /401/),
      );
      assert.ok(registry.seen.every((seen) => seen.authorization === ''));
    }));

  it('a registry token is sent as it is', () =>
    withRegistry(async (registry, connect) => {
      registry.on(TAG, (request, response) =>
        response.writeHead(request.headers.authorization === 'Bearer given' ? 200 : 403).end(MANIFEST),
      );
      await (await connect({ registryToken: 'given' })).client.manifest('latest', never);
    }));
});

describe('layers', () => {
  const data = randomBytes(400_000);
  const descriptor = { digest: digestOf(data), size: data.length };
  const path = `/v2/app/blobs/${descriptor.digest}`;
  const options = { retry: RETRY };

  async function download({ client, http }: Client, signal = never): Promise<Buffer> {
    const parts: Uint8Array[] = [];
    const source = await client.blobSource(descriptor, signal);
    for await (const part of blobBytes(source, options, { http }, signal)) parts.push(part);
    return Buffer.concat(parts);
  }

  it('a redirect to another origin is followed without the credentials', () =>
    withRegistry(async (registry, connect) => {
      await using elsewhere = await ScriptedRegistry.start();
      elsewhere.on('/store', (_, response) => response.end(data));
      registry.on(path, (_, response) => response.writeHead(307, { location: `/v2/app/here` }).end());
      registry.on('/v2/app/here', (_, response) =>
        response.writeHead(302, { location: `http://${elsewhere.host}/store?signature=x` }).end(),
      );
      assert.ok((await download(await connect({ registryToken: 'secret' }))).equals(data));
      assert.equal(registry.requests('/v2/app/here')[0]?.authorization, 'Bearer secret');
      assert.deepEqual(
        elsewhere.seen.map((seen) => seen.authorization),
        [''],
      );
    }));

  it('redirects that lead nowhere end', () =>
    withRegistry(async (registry, connect) => {
      registry.on(path, (_, response) => response.writeHead(307, { location: path }).end());
      await assert.rejects(download(await connect()), fails('unavailable', /more than 10 redirects/));
      registry.on(path, (_, response) => response.writeHead(307, { location: 'file:///etc/passwd' }).end());
      await assert.rejects(download(await connect()), fails('failed_precondition', /redirects to "file:/));
    }));

  it('a cut body goes on where it ended', () =>
    withRegistry(async (registry, connect) => {
      registry.on(path, (request, response) => {
        const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
        response.writeHead(from === 0 ? 200 : 206, {
          'content-length': data.length - from,
          'content-range': `bytes ${from}-${data.length - 1}/${data.length}`,
        });
        response.write(data.subarray(from, from + 150_000), () => {
          if (from + 150_000 >= data.length) response.end();
          else setTimeout(() => request.socket.destroy(), 20);
        });
      });
      assert.ok((await download(await connect())).equals(data));
      assert.ok(registry.requests(path).length >= 3);
      assert.match(registry.requests(path)[1]?.range ?? '', /^bytes=\d+-$/);
    }));

  it('a registry that knows no Range sends all again, and the bytes are right', () =>
    withRegistry(async (registry, connect) => {
      let tries = 0;
      registry.on(path, (request, response) => {
        response.writeHead(200, { 'content-length': data.length });
        if (tries++ > 0) response.end(data);
        else response.write(data.subarray(0, 100_000), () => setTimeout(() => request.socket.destroy(), 20));
      });
      assert.ok((await download(await connect())).equals(data));
    }));

  it('a blob that ends early on the registry itself is data loss', () =>
    withRegistry(async (registry, connect) => {
      registry.on(path, (request, response) => {
        if (request.headers.range === undefined) response.end(data.subarray(0, 1000));
        else response.writeHead(416).end();
      });
      const message =
        /^fetch layer sha256:.*: the registry has 1000 of its 400000 bytes; push the image again/;
      await assert.rejects(download(await connect()), fails('data_loss', message));
    }));

  it('a registry that cuts at once, each time, is given up', () =>
    withRegistry(async (registry, connect) => {
      registry.on(path, (request) => request.socket.destroy());
      await assert.rejects(
        download(await connect()),
        fails('unavailable', /^RegistryUnavailable: fetch layer sha256:/),
      );
      assert.equal(registry.requests(path).length, RETRY.attempts);
    }));

  it('a body that stands still is given up, and says which layer it was', () =>
    withRegistry(async (registry, connect) => {
      registry.on(path, (_, response) => {
        response.writeHead(200, { 'content-length': data.length });
        response.write(data.subarray(0, 1000));
      });
      const message = new RegExp(
        `^RegistryUnavailable: fetch layer ${descriptor.digest} of .*: no byte came`,
      );
      await assert.rejects(download(await connect()), fails('unavailable', message));
    }));
});

it('loopback hosts', () => {
  for (const host of ['localhost', 'localhost:5000', '127.0.0.1', '127.8.9.1:80', '[::1]:5000'])
    assert.ok(isLoopback(host), host);
  for (const host of ['localhost.example', '128.0.0.1', '127.example', '[::2]', '10.0.0.1:5000'])
    assert.ok(!isLoopback(host), host);
});
