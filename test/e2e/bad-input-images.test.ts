import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { after, afterEach, before, describe, it } from 'node:test';
import type { ErrorCode } from '../../src/base/errors.ts';
import { containerConfig, podConfig } from '../harness/pods.ts';
import { leavesNothing, refused } from '../harness/refusal.ts';
import { World } from '../harness/world.ts';

/** Images that are not there, not whole, or not images: the status and the sentence that a kubelet gets. */
describe('bad input: images', () => {
  let world: World;
  before(async () => {
    world = await World.start();
  });
  after(() => world[Symbol.asyncDispose]());
  const clean = (body: () => Promise<void>) => leavesNothing(() => world.daemon, body);
  const pull = (image: string, timeoutMs?: number) =>
    world.daemon.cri.images.PullImage({ image: { image } }, { timeoutMs });

  it(
    'a tag or a repository that the registry does not have is not found',
    clean(async () => {
      const { host } = world.registry;
      await refused(pull(`${host}/busybox:nope`), 'not_found', /busybox.*404.*; check the name and the tag/);
      await refused(pull(`${host}/nope/nope:1`), 'not_found', /nope\/nope.*; check the name and the tag/);
      const digest = `sha256:${'0'.repeat(64)}`;
      await refused(pull(`${host}/busybox@${digest}`), 'not_found', /check the name and the tag/);
    }),
  );

  it(
    'a registry that is down is RegistryUnavailable, the word that a kubelet knows',
    clean(async () => {
      await refused(
        pull('127.0.0.1:1/busybox:1'),
        'unknown',
        /^RegistryUnavailable: .*connection refused.*is the registry running\?/,
      );
    }),
  );

  it(
    'a registry whose name does not resolve is RegistryUnavailable',
    clean(async () => {
      await refused(
        pull('registry.invalid/busybox:1'),
        'unknown',
        /^RegistryUnavailable: .*registry\.invalid.*check the registry's name and this node's DNS/,
      );
    }),
  );

  it(
    'a registry that never answers ends with the deadline of the call',
    clean(async () => {
      const silent = await listen();
      try {
        await refused(pull(`${silent.host}/busybox:1`, 300), 'deadline_exceeded', /./);
      } finally {
        await silent.close();
      }
    }),
  );

  it(
    'a server that is no registry is told as such',
    clean(async () => {
      const babble = await listen('SSH-2.0-OpenSSH_9.2\r\n');
      try {
        await refused(pull(`${babble.host}/busybox:1`), 'unknown', /^RegistryUnavailable: /);
      } finally {
        await babble.close();
      }
    }),
  );

  const references: [what: string, reference: string, code: ErrorCode, says: RegExp][] = [
    ['nothing', '', 'invalid_argument', /image/],
    ['white space', 'busy box', 'invalid_argument', /white space/],
    ['capital letters', 'example.org/BusyBox:1', 'invalid_argument', /must be lower case/],
    ['a scheme', 'https://example.org/busybox', 'invalid_argument', /leave it out/],
    ['half a digest', 'busybox@sha256:123', 'invalid_argument', /is not a digest such as/],
    ['a path that climbs', 'example.org/../../v2/x:1', 'invalid_argument', /is not a repository name/],
    ['a NUL', 'example.org/a\0b:1', 'invalid_argument', /is not a repository name/],
    ['a line of its own', 'example.org/a\nHost:b', 'invalid_argument', /white space/],
    ['a host with a slash in disguise', 'example.org%2fa/b:1', 'invalid_argument', /not a/],
    ['a megabyte', 'a/'.repeat(524_288), 'invalid_argument', /./],
  ];
  for (const [what, reference, code, says] of references)
    it(
      `a reference that is ${what} is refused`,
      clean(async () => {
        await refused(pull(reference), code, says);
      }),
    );

  it(
    'an image that is not here is not found, by container and by status',
    clean(async () => {
      const { runtime, images } = world.daemon.cri;
      const config = podConfig(world.daemon, 'imageless');
      const { pod_sandbox_id } = await runtime.RunPodSandbox({ config });
      await refused(
        runtime.CreateContainer({
          pod_sandbox_id,
          config: containerConfig('c', 'example.org/nope:1', ['true']),
          sandbox_config: config,
        }),
        'not_found',
        /image "example\.org\/nope:1" is not here; pull it first: `crictl pull example\.org\/nope:1`/,
      );
      assert.equal((await images.ImageStatus({ image: { image: 'example.org/nope:1' } })).image, null);
      await images.RemoveImage({ image: { image: 'example.org/nope:1' } });
      await world.removePod(pod_sandbox_id);
    }),
  );

  describe('bytes that are not those of the digest', () => {
    const spoiled = new Map<string, Buffer>();
    afterEach(async () => {
      for (const [file, bytes] of spoiled) await writeFile(file, bytes);
      spoiled.clear();
    });
    const spoil = async (digest: string, change: (bytes: Buffer) => Buffer) => {
      const file = world.registry.blobFile(digest);
      const bytes = await readFile(file);
      spoiled.set(file, bytes);
      await writeFile(file, change(bytes));
    };
    const flipped = (bytes: Buffer) => {
      const copy = Buffer.from(bytes);
      copy.writeUInt8(bytes.readUInt8(bytes.length >> 1) ^ 1, bytes.length >> 1);
      return copy;
    };
    const manifest = async () =>
      JSON.parse(await readFile(world.registry.blobFile(world.digest), 'utf8')) as {
        config: { digest: string };
        layers: { digest: string }[];
      };

    it(
      'of a layer are data loss, and no layer is kept',
      clean(async () => {
        const digest = (await manifest()).layers[0]?.digest ?? '';
        await spoil(digest, flipped);
        await refused(pull(world.image), 'data_loss', new RegExp(digest));
      }),
    );

    it(
      'of a layer that is cut short fail the pull',
      clean(async () => {
        const digest = (await manifest()).layers[0]?.digest ?? '';
        await spoil(digest, (bytes) => bytes.subarray(0, bytes.length >> 1));
        await refused(
          pull(world.image),
          'data_loss',
          /the registry has \d+ of its \d+ bytes; push the image again/,
        );
      }),
    );

    it(
      'of a configuration are data loss',
      clean(async () => {
        const { digest } = (await manifest()).config;
        await spoil(digest, flipped);
        await refused(pull(world.image), 'data_loss', new RegExp(digest));
      }),
    );

    it(
      'of a manifest are data loss',
      clean(async () => {
        // White space changes the digest and nothing else.
        await spoil(world.digest, (bytes) => Buffer.concat([bytes, Buffer.from('\n')]));
        const byDigest = `${world.registry.host}/busybox@${world.digest}`;
        await refused(pull(byDigest), 'data_loss', new RegExp(world.digest));
        await refused(pull(world.image), 'data_loss', new RegExp(world.digest));
      }),
    );

    it(
      'do not stand in the way of the next pull',
      clean(async () => {
        const id = await world.pull();
        await world.daemon.cri.images.RemoveImage({ image: { image: id } });
      }),
    );
  });

  it(
    'a document that is no manifest is refused',
    clean(async () => {
      const file = world.registry.blobFile(world.digest);
      const bytes = await readFile(file);
      await writeFile(file, '{"schemaVersion":1,"history":[]}');
      try {
        await refused(pull(world.image), 'data_loss', /./);
      } finally {
        await writeFile(file, bytes);
      }
    }),
  );
});

interface Listener {
  host: string;
  close(): Promise<void>;
}

/** A server that says `greeting` to whoever connects, and no more. */
async function listen(greeting = ''): Promise<Listener> {
  const server: Server = createServer((socket) => {
    socket.on('error', () => undefined);
    if (greeting !== '') socket.end(greeting);
    server.once('close', () => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  return {
    host: `127.0.0.1:${address.port}`,
    close: async () => {
      server.close();
      server.emit('close');
    },
  };
}
