import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isCode } from '../../../../src/base/errors.ts';
import { newAuthorization } from '../../../../src/image/registry/auth.ts';
import { type Credentials, credentialsOf, isMeantFor } from '../../../../src/image/registry/credentials.ts';
import { HttpClient } from '../../../../src/image/registry/http.ts';
import { Peer } from '../../../../src/image/registry/peer.ts';
import { DEFAULT_TRANSPORT } from '../../../../src/image/registry/transport.ts';
import { ScriptedRegistry } from './server.ts';

const NOBODY = { username: '', password: '', auth: '', identityToken: '', registryToken: '' };
const PATH = '/v2/app/thing';

interface Stage {
  registry: ScriptedRegistry;
  connect(credentials?: Partial<typeof NOBODY>): Peer;
  get(peer: Peer): Promise<string>;
}

async function withRegistry(work: (stage: Stage) => Promise<void>): Promise<void> {
  await using registry = await ScriptedRegistry.start();
  const http = new HttpClient({ stallTimeoutMs: 1000, environment: {} });
  const connect = (credentials: Partial<typeof NOBODY> = {}) => {
    const endpoint = {
      host: registry.host,
      address: `${registry.host}/v2`,
      schemes: ['http' as const],
      pull: true,
      resolve: true,
      namespace: '',
      headers: {},
      transport: DEFAULT_TRANSPORT,
    };
    const given: Credentials | null = credentialsOf({ ...NOBODY, ...credentials });
    return new Peer({ endpoint, authorization: newAuthorization('repository:app:pull', given) }, { http });
  };
  const get = async (peer: Peer) => {
    const signal = AbortSignal.timeout(10_000);
    const { answer } = await peer.get({ path: 'app/thing', headers: {}, signal, action: 'get it' });
    return text(answer.body);
  };
  try {
    await work({ registry, connect, get });
  } finally {
    await http.close();
  }
}

/** Lets in who has one of `accepted` as its Authorization, else sends `challenges`. */
function guard(registry: ScriptedRegistry, challenges: () => string[], ...accepted: string[]): void {
  registry.on(PATH, (request: IncomingMessage, response: ServerResponse) => {
    if (accepted.includes(request.headers.authorization ?? '')) response.end('content');
    else response.writeHead(401, { 'www-authenticate': challenges() }).end();
  });
}

const basic = (pair: string) => `Basic ${Buffer.from(pair).toString('base64')}`;
const bearer = ({ host }: ScriptedRegistry, more = '') =>
  `Bearer realm="http://${host}/token",service="s"${more}`;

describe('identity tokens', () => {
  it('are exchanged by a POST, and what comes in their place is used from then on', () =>
    withRegistry(async ({ registry, connect, get }) => {
      guard(registry, () => [bearer(registry)], 'Bearer access1', 'Bearer access2');
      const forms: Record<string, string>[] = [];
      registry.on('/token', async (request, response) => {
        forms.push(Object.fromEntries(new URLSearchParams(await text(request))));
        const count = forms.length;
        // Half of the 2 ms of its life is kept as margin.
        response.end(
          JSON.stringify({
            access_token: `access${count}`,
            refresh_token: `refresh${count}`,
            expires_in: 0.002,
          }),
        );
      });
      const peer = connect({ identityToken: 'refresh0' });
      assert.equal(await get(peer), 'content');
      await sleep(5);
      assert.equal(await get(peer), 'content');
      assert.deepEqual(forms, [
        {
          grant_type: 'refresh_token',
          refresh_token: 'refresh0',
          service: 's',
          scope: 'repository:app:pull',
          client_id: 'skiff',
        },
        { ...forms[0], refresh_token: 'refresh1' },
      ]);
      assert.deepEqual(
        registry.requests('/token').map(({ method }) => method),
        ['POST', 'POST'],
      );
    }));

  it('go by GET where the token server has no POST', () =>
    withRegistry(async ({ registry, connect, get }) => {
      for (const status of [400, 401, 404, 405]) {
        registry.seen.length = 0;
        guard(registry, () => [bearer(registry)], 'Bearer access');
        registry.on('/token', (request, response) => {
          if (request.method === 'POST') response.writeHead(status).end();
          else response.end('{"token":"access"}');
        });
        assert.equal(await get(connect({ identityToken: 'refresh' })), 'content');
        const [post, fallback] = registry.requests('/token');
        assert.equal(post?.method, 'POST');
        assert.equal(fallback?.authorization, basic('<token>:refresh'));
      }
    }));

  it('are not taken along by a redirect to another origin', () =>
    withRegistry(async ({ registry, connect, get }) => {
      await using elsewhere = await ScriptedRegistry.start();
      guard(registry, () => [bearer(registry)]);
      for (const status of [302, 307]) {
        registry.on('/token', (_, response) =>
          response.writeHead(status, { location: `http://${elsewhere.host}/token` }).end(),
        );
        await assert.rejects(get(connect({ identityToken: 'secret' })), /redirects to http/);
      }
      assert.deepEqual(elsewhere.seen, []);
    }));

  it('are what the user "<token>" of a credential helper stands for', () => {
    assert.deepEqual(credentialsOf({ ...NOBODY, username: '<token>', password: 'secret' }), {
      username: '',
      password: '',
      identityToken: 'secret',
      registryToken: '',
    });
  });
});

describe('challenges', () => {
  it('of several schemes in one header: a bearer token first, basic where that cannot be had', () =>
    withRegistry(async ({ registry, connect, get }) => {
      guard(registry, () => [`Basic realm="r", ${bearer(registry)}`], 'Bearer good', basic('u:p'));
      registry.on('/token', (_, response) => response.end('{"token":"good"}'));
      assert.equal(await get(connect({ username: 'u', password: 'p' })), 'content');
      assert.equal(registry.requests(PATH).at(-1)?.authorization, 'Bearer good');
      registry.on('/token', (_, response) => response.writeHead(500).end());
      assert.equal(await get(connect({ username: 'u', password: 'p' })), 'content');
      assert.equal(registry.requests(PATH).at(-1)?.authorization, basic('u:p'));
      registry.on('/token', (_, response) => response.end('{"token":"refused"}'));
      assert.equal(await get(connect({ username: 'u', password: 'p' })), 'content');
    }));

  it('that never end are answered once by each scheme', () =>
    withRegistry(async ({ registry, connect, get }) => {
      let tokens = 0;
      guard(registry, () => [bearer(registry), 'Basic realm="r"']);
      registry.on('/token', (_, response) => response.end(JSON.stringify({ token: `t${tokens++}` })));
      await assert.rejects(get(connect({ username: 'u', password: 'p' })), (error) =>
        isCode(error, 'unauthenticated'),
      );
      assert.equal(registry.requests(PATH).length, 3);
      assert.equal(tokens, 1);
    }));

  it('may ask for several scopes', () =>
    withRegistry(async ({ registry, connect, get }) => {
      guard(
        registry,
        () => [bearer(registry, ',scope="repository:app:pull repository:base:pull"')],
        'Bearer t',
      );
      registry.on('/token', (_, response) => response.end('{"token":"t"}'));
      await get(connect());
      const asked = new URL(registry.requests('/token')[0]?.path ?? '', 'http://x').searchParams;
      assert.deepEqual(asked.getAll('scope'), ['repository:app:pull', 'repository:base:pull']);
    }));

  it('of a host that the registry redirects to are not answered', () =>
    withRegistry(async ({ registry, connect, get }) => {
      await using thief = await ScriptedRegistry.start();
      registry.on(PATH, (_, response) =>
        response.writeHead(307, { location: `http://${thief.host}/loot` }).end(),
      );
      thief.on('/loot', (_, response) =>
        response.writeHead(401, { 'www-authenticate': [bearer(thief), 'Basic realm="r"'] }).end(),
      );
      await assert.rejects(get(connect({ username: 'u', password: 'p' })), /401/);
      await assert.rejects(get(connect({ identityToken: 'secret' })), /401/);
      await assert.rejects(get(connect({ registryToken: 'secret' })), /401/);
      assert.deepEqual(
        thief.seen.map(({ path, authorization }) => [path, authorization]),
        Array.from({ length: 3 }, () => ['/loot', '']),
      );
    }));

  it('of a registry behind TLS do not lead its credentials into the open', async () => {
    const http = new HttpClient({ stallTimeoutMs: 1000, environment: {} });
    const { fetchToken } = await import('../../../../src/image/registry/token.ts');
    const options = {
      challenge: { scheme: 'bearer', parameters: { realm: 'http://auth.example/token' } },
      scope: 's',
      registry: 'https://registry.example',
      transport: DEFAULT_TRANSPORT,
      credentials: credentialsOf({ ...NOBODY, username: 'u', password: 'p' }),
    };
    await assert.rejects(fetchToken(options, { http }, AbortSignal.timeout(1000)), /does not speak https/);
  });
});

it('a token that has run out is not sent again', () =>
  withRegistry(async ({ registry, connect, get }) => {
    let issued = 0;
    registry.on('/token', (_, response) => {
      issued += 1;
      response.end(JSON.stringify({ token: `t${issued}`, expires_in: 0.02 }));
    });
    registry.on(PATH, (request, response) => {
      if (request.headers.authorization === `Bearer t${issued}`) response.end('content');
      // Some answer 403 to a token that has run out: it must not come that far.
      else if (request.headers.authorization !== undefined) response.writeHead(403).end();
      else response.writeHead(401, { 'www-authenticate': bearer(registry) }).end();
    });
    const peer = connect();
    await get(peer);
    await sleep(30);
    issued = 7;
    assert.equal(await get(peer), 'content');
    assert.equal(issued, 8);
  }));

it('server_address holds credentials to their host', () => {
  const table: [address: string, host: string, meant: boolean][] = [
    ['', 'any.example', true],
    ['registry.example:5000', 'registry.example:5000', true],
    ['https://registry.example:5000/v2/', 'registry.example:5000', true],
    ['registry.example', 'registry.example:5000', false],
    ['example', 'registry.example', false],
    ['https://index.docker.io/v1/', 'registry-1.docker.io', true],
    ['docker.io', 'registry-1.docker.io', true],
    ['https://index.docker.io/v1/', 'mirror.example', false],
  ];
  for (const [address, host, meant] of table)
    assert.equal(isMeantFor(address, host), meant, `${address} ${host}`);
});
