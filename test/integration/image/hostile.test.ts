import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { after, before, beforeEach, describe, it } from 'node:test';
import { type ErrorCode, SkiffError } from '../../../src/base/errors.ts';
import { ScriptedRegistry } from '../../unit/image/registry/server.ts';
import { ImageNode, NOTHING } from './fixture.ts';
import { endless, HostileRegistry, imageOf, type Stage } from './hostile-registry.ts';

const DATA = randomBytes(1 << 20);
const MIB = 1 << 20;
/** Resident memory that no misbehaviour of a registry may add, in bytes. */
const MEMORY = 96 * MIB;
const STALL_MS = 400;

let node: ImageNode;
let registry: HostileRegistry;
before(async () => {
  node = await ImageNode.start({ pullProgressTimeout: STALL_MS });
  registry = await HostileRegistry.start(imageOf(DATA));
  // Threads and libraries are loaded once; what comes after is what a pull takes.
  await node.pull(registry.image);
  await node.images.remove(registry.image);
});
after(async () => {
  await registry[Symbol.asyncDispose]();
  await node.stop();
});
beforeEach(() => {
  registry.serve(imageOf(DATA));
  registry.server.seen.length = 0;
});

/** The error of a pull that must fail, with nothing left and memory flat. */
async function refused(code: ErrorCode, message: RegExp, reference = registry.image): Promise<SkiffError> {
  const start = process.memoryUsage.rss();
  let peak = start;
  const watch = setInterval(() => {
    peak = Math.max(peak, process.memoryUsage.rss());
  }, 10);
  try {
    const error: unknown = await node.pull(reference).then(
      () => assert.fail('the pull succeeded'),
      (cause: unknown) => cause,
    );
    assert.ok(error instanceof SkiffError, String(error));
    assert.match(error.message, message);
    assert.equal(error.code, code, error.message);
    assert.deepEqual(await node.counts(), NOTHING);
    return error;
  } finally {
    clearInterval(watch);
    const grown = Math.round((peak - start) / MIB);
    console.log(`memory: +${grown} MiB at its peak, ${Math.round(peak / MIB)} MiB in all`);
    assert.ok(peak - start < MEMORY, `${grown} MiB`);
  }
}

async function served(): Promise<void> {
  await node.pull(registry.image);
  await node.images.remove(registry.image);
  assert.deepEqual(await node.counts(), NOTHING);
}

describe('a connection that is cut', () => {
  const STAGES: Stage[] = ['root', 'manifest', 'config', 'layer'];
  for (const stage of STAGES) {
    it(`before an answer, each time: ${stage}`, async () => {
      registry.on(stage, (request) => request.socket.resetAndDestroy());
      await refused('unavailable', /^RegistryUnavailable: /);
    });
    it(`in the middle of the head, each time: ${stage}`, async () => {
      registry.on(stage, (request) => request.socket.end('HTTP/1.1 200 OK\r\nContent-Le'));
      await refused('unavailable', /^RegistryUnavailable: /);
    });
  }

  for (const stage of ['manifest', 'config', 'layer'] as const) {
    it(`in the middle of the body, each time: ${stage}`, async () => {
      const bytes = registry.bytes(stage);
      registry.on(stage, (request, response) => {
        response.writeHead(200, { 'content-length': bytes.length });
        response.write(bytes.subarray(0, bytes.length >> 1), () =>
          setTimeout(() => request.socket.destroy(), 20),
        );
      });
      await refused(
        'unavailable',
        new RegExp(`^RegistryUnavailable: fetch ${stage === 'config' ? 'conf' : stage}`),
      );
    });
    it(`once: ${stage}`, async () => {
      let cuts = 0;
      const honest = registry.honest(stage);
      registry.on(stage, (request, response) => {
        if (cuts++ === 0) request.socket.destroy();
        else honest(request, response);
      });
      await served();
    });
  }
});

describe('content that is not what was promised', () => {
  it('a layer with another digest', async () => {
    const bytes = Buffer.from(registry.bytes('layer'));
    // The time in the head of a gzip file: what is inside stays the same.
    bytes.writeUInt32LE(1, 4);
    registry.on('layer', (_, response) => response.end(bytes));
    await refused('data_loss', /verify layer sha256:[0-9a-f]{64}: content has digest .*, expected sha256:/);
    registry.on('layer', (_, response) => response.end(bytes.subarray(0, -5)));
    await refused('data_loss', /the registry has \d+ of its \d+ bytes/);
  });

  it('a configuration with another digest', async () => {
    registry.on('config', (_, response) => response.end('{}'));
    await refused('data_loss', /verify configuration of .*: content has digest .*, expected sha256:/);
  });

  it('a layer that is longer than its manifest says, and one that is shorter', async () => {
    const { size } = imageOf(DATA).layer;
    registry.serve(imageOf(DATA, { layer: { size: size - 100 } }));
    await refused('data_loss', /verify layer .*: content has .* bytes, its manifest says/);
    registry.serve(imageOf(DATA, { layer: { size: size + 100 } }));
    registry.on('layer', (request, response) => {
      if (request.headers.range !== undefined) response.writeHead(416).end();
      else registry.honest('layer')(request, response);
    });
    await refused('data_loss', new RegExp(`has ${size} of its ${size + 100} bytes`));
  });

  it('a configuration that claims 17 MiB', async () => {
    registry.serve(imageOf(DATA, { config: { size: 17 * MIB } }));
    await refused('failed_precondition', /too many for one/);
    assert.equal(registry.server.requests(registry.path('config')).length, 0);
  });

  it('a layer whose tar has another diff id', async () => {
    registry.serve(imageOf(DATA, { diffId: `sha256:${'0'.repeat(64)}` }));
    await refused('data_loss', /layer sha256:[0-9a-f]{64}, unpacked,: .*expected sha256:000/);
  });

  it('an encrypted layer', async () => {
    registry.serve(
      imageOf(DATA, { layer: { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip+encrypted' } }),
    );
    await refused('failed_precondition', /layer sha256:.* is encrypted, .*not served/);
  });
});

describe('a body without an end', () => {
  it('of a manifest, a configuration and an error', async () => {
    registry.on('manifest', endless);
    await refused('failed_precondition', /fetch manifest 1 of .*: the answer is longer than 4194304 bytes/);
    registry.serve(imageOf(DATA));
    registry.on('config', endless);
    await refused('failed_precondition', /fetch configuration .*: the answer is longer than 16777216 bytes/);
    registry.serve(imageOf(DATA));
    registry.on('manifest', (request, response) => {
      response.writeHead(500);
      endless(request, response);
    });
    await refused('unavailable', /answered 500 \(x{200}\)/);
  });

  it('of a layer', async () => {
    registry.on('layer', endless);
    await refused('data_loss', /layer sha256:/);
  });

  it('a manifest of 50 MB, told before and not', async () => {
    const bytes = Buffer.alloc(50_000_000, ' ');
    registry.on('manifest', (_, response) => {
      response.writeHead(200, { 'content-length': bytes.length });
      response.end(bytes);
    });
    await refused('failed_precondition', /longer than 4194304 bytes/);
    registry.on('manifest', (_, response) => {
      response.write(bytes.subarray(0, 1000));
      response.end(bytes);
    });
    await refused('failed_precondition', /longer than 4194304 bytes/);
  });
});

describe('a body that stands still', () => {
  for (const stage of ['manifest', 'config', 'layer'] as const)
    it(stage, async () => {
      const bytes = registry.bytes(stage);
      registry.on(stage, (_, response) => {
        response.writeHead(200, { 'content-length': bytes.length });
        response.write(bytes.subarray(0, 100));
      });
      const { digest } = imageOf(DATA).layer;
      const what = { manifest: 'manifest 1 ', config: 'configuration ', layer: `layer ${digest} ` }[stage];
      await refused(
        'unavailable',
        new RegExp(`^RegistryUnavailable: fetch ${what}.*: no byte came for 400ms`),
      );
    });

  it('one that goes on, byte by byte, is no standstill', async () => {
    const bytes = registry.bytes('manifest');
    registry.on('manifest', async (_, response) => {
      for (const byte of bytes.subarray(0, 8)) {
        response.write(Buffer.of(byte));
        await new Promise((resolve) => setTimeout(resolve, STALL_MS / 3));
      }
      response.end(bytes.subarray(8));
    });
    await served();
  });

  it("ends with the caller's deadline where that comes first", async () => {
    registry.on('layer', (_, response) => response.writeHead(200).flushHeaders());
    const late = node.pull(registry.image, { signal: AbortSignal.timeout(150) });
    await assert.rejects(late, (error) => error instanceof SkiffError && error.code === 'deadline_exceeded');
    assert.deepEqual(await node.counts(), NOTHING);
  });
});

describe('answers that never please', () => {
  const secret = {
    username: 'u',
    password: 'hush',
    auth: '',
    serverAddress: '',
    identityToken: '',
    registryToken: '',
  };
  const challenge = (response: ServerResponse) =>
    response.writeHead(401, {
      'www-authenticate': `Bearer realm="http://${registry.server.host}/token", Basic realm="r"`,
    });

  for (const stage of ['manifest', 'layer'] as const)
    it(`401 again and again: ${stage}`, async () => {
      let tokens = 0;
      registry.server.on('/token', (_, response) => response.end(`{"token":"t${tokens++}"}`));
      registry.on(stage, (_, response) => challenge(response).end());
      await refused('unauthenticated', /answered 401; check the credentials/);
      assert.ok(registry.server.requests(registry.path(stage)).length <= 2);
      await assert.rejects(node.pull(registry.image, { auth: secret }), (error: Error) => {
        assert.doesNotMatch(error.message, /hush/);
        return true;
      });
      assert.ok(registry.server.requests(registry.path(stage)).length <= 5);
      assert.ok(tokens <= 2, `${tokens} tokens`);
    });

  it('a redirect to elsewhere leads no credentials there', async () => {
    await using elsewhere = await ScriptedRegistry.start();
    for (const stage of ['manifest', 'config', 'layer'] as const) {
      elsewhere.on(`/${stage}`, registry.honest(stage));
      registry.on(stage, (request, response) => {
        if (request.headers.authorization === undefined) challenge(response).end();
        else response.writeHead(307, { location: `http://${elsewhere.host}/${stage}?signature=s` }).end();
      });
    }
    registry.server.on('/token', (_, response) => response.end('{"token":"hush"}'));
    await node.pull(registry.image, { auth: secret });
    await node.images.remove(registry.image);
    assert.deepEqual(
      elsewhere.seen.map(({ path }) => path.split('?')[0]),
      ['/manifest', '/config', '/layer'],
    );
    const leaked = elsewhere.seen.flatMap(({ headers }) => Object.values(headers)).join(' ');
    assert.doesNotMatch(leaked, /hush|Basic|Bearer/);
    registry.on('layer', (_, response) =>
      response.writeHead(302, { location: registry.path('layer') }).end(),
    );
    await refused('unavailable', /more than 10 redirects/);
  });

  const often = (times: number, status: number, headers: Record<string, string>, stage: Stage) => {
    let count = 0;
    const honest = registry.honest(stage);
    registry.on(stage, (request: IncomingMessage, response: ServerResponse) => {
      if (count++ < times) response.writeHead(status, headers).end();
      else honest(request, response);
    });
  };
  for (const stage of ['manifest', 'config', 'layer'] as const)
    it(`429 and 500: ${stage}`, async () => {
      often(2, 429, {}, stage);
      await served();
      often(1, 429, { 'retry-after': '1' }, stage);
      const started = performance.now();
      await served();
      assert.ok(performance.now() - started >= 990, 'waits as long as it was asked to');
      often(2, 500, {}, stage);
      await served();
      often(1000, 429, { 'retry-after': '0' }, stage);
      await refused('unavailable', /^RegistryUnavailable: .*answered 429/);
      often(1000, 429, {}, stage);
      await refused('unavailable', /^RegistryUnavailable: .*answered 429/);
      often(1000, 500, {}, stage);
      await refused('unavailable', /^RegistryUnavailable: .*answered 500/);
    });
});
