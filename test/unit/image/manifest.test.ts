import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ErrorCode, isCode } from '../../../src/base/errors.ts';
import { choosePlatform, parseConfig, parseDocument } from '../../../src/image/manifest.ts';
import { matchRank, parsePlatform } from '../../../src/image/platform.ts';
import { type Index, MEDIA_TYPES, type Platform } from '../../../src/oci/image-spec.ts';

const digest = (n: number) => `sha256:${n.toString(16).padStart(64, '0')}`;
const layer = (n: number, mediaType = 'application/vnd.oci.image.layer.v1.tar+gzip') => ({
  mediaType,
  digest: digest(n),
  size: 10,
});
const manifest = (over: Record<string, unknown> = {}) => ({
  schemaVersion: 2,
  mediaType: MEDIA_TYPES.ociManifest,
  config: { mediaType: MEDIA_TYPES.ociConfig, digest: digest(1), size: 5 },
  layers: [layer(2)],
  ...over,
});
const parse = (document: unknown, type = '') =>
  parseDocument(
    Buffer.from(typeof document === 'string' ? document : JSON.stringify(document)),
    type,
    'app:1',
  );

function refuses(document: unknown, why: RegExp, code: ErrorCode = 'failed_precondition', type = ''): void {
  assert.throws(
    () => parse(document, type),
    (error) => isCode(error, code) && why.test(error.message),
  );
}

describe('parseDocument', () => {
  it('reads OCI and Docker manifests and indexes', () => {
    const docker = manifest({
      mediaType: MEDIA_TYPES.dockerManifest,
      config: { mediaType: MEDIA_TYPES.dockerConfig, digest: digest(1), size: 5 },
      layers: [layer(2, 'application/vnd.docker.image.rootfs.diff.tar.gzip')],
    });
    assert.equal(parse(manifest()).kind, 'manifest');
    assert.equal(parse(docker).kind, 'manifest');
    assert.equal(parse({ schemaVersion: 2, manifests: [] }, MEDIA_TYPES.dockerList).kind, 'index');
    // The media type is not required of a document (image-spec, manifest.md): then the registry's counts.
    assert.equal(parse(manifest({ mediaType: undefined }), MEDIA_TYPES.ociManifest).kind, 'manifest');
  });

  it('refuses what is no container image, with a word on what it is', () => {
    refuses({ schemaVersion: 1, fsLayers: [] }, /schema 1/);
    refuses({ signatures: [] }, /schema 1/, 'failed_precondition', MEDIA_TYPES.dockerSchema1Signed);
    refuses(
      manifest({
        config: { mediaType: 'application/vnd.cncf.helm.config.v1+json', digest: digest(1), size: 5 },
      }),
      /artifact of type application\/vnd\.cncf\.helm\.config/,
    );
    refuses(
      manifest({
        artifactType: 'application/vnd.example.sbom',
        config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: digest(1), size: 2 },
      }),
      /artifact of type application\/vnd\.example\.sbom/,
    );
    refuses(
      manifest({ layers: [layer(2, 'application/vnd.oci.image.layer.v1.tar+gzip+encrypted')] }),
      /encrypted/,
    );
    refuses(
      manifest({ layers: [layer(2, 'application/x-thing')] }),
      /unknown media type application\/x-thing/,
    );
    refuses(manifest({ manifests: [] }), /index and a manifest at once/);
    refuses({ schemaVersion: 2 }, /neither an image manifest nor an index/);
    refuses('<html>', /not JSON/, 'data_loss');
    refuses([], /not a JSON object/);
  });

  it('refuses descriptors that cannot be right', () => {
    refuses(manifest({ layers: [{ ...layer(2), digest: 'sha256:12' }] }), /not a digest/);
    refuses(manifest({ layers: [{ ...layer(2), digest: '../../etc/passwd' }] }), /not a digest/);
    refuses(manifest({ layers: [{ ...layer(2), size: -1 }] }), /not a number of bytes/);
    refuses(manifest({ layers: [{ ...layer(2), size: '10' }] }), /not a number of bytes/);
    refuses(manifest({ layers: [null] }), /not an object/);
  });
});

describe('parseConfig', () => {
  const parsed = parse(manifest());
  assert.ok(parsed.kind === 'manifest');
  const config = (value: unknown) =>
    parseConfig(Buffer.from(JSON.stringify(value)), parsed.manifest, 'app:1');

  it('holds the diff ids against the layers', () => {
    const rootfs = { type: 'layers', diff_ids: [digest(7)] };
    assert.deepEqual(config({ os: 'linux', architecture: 'amd64', rootfs }).rootfs.diff_ids, [digest(7)]);
    assert.throws(
      () => config({ os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: [] } }),
      /names 1 layers, its configuration 0/,
    );
    assert.throws(() => config({ os: 'linux', architecture: 'amd64' }), /no list of diff ids/);
    assert.throws(() => config({ rootfs }), /does not say its os/);
  });
});

describe('choosePlatform', () => {
  const index = (...platforms: (string | null)[]): Index => ({
    schemaVersion: 2,
    manifests: platforms.map((text, n) => ({
      ...layer(n, MEDIA_TYPES.ociManifest),
      ...(text === null ? {} : { platform: platformOf(text) }),
    })),
  });
  const platformOf = (text: string): Platform => {
    const [os = '', architecture = '', variant] = text.split('/');
    return variant === undefined ? { os, architecture } : { os, architecture, variant };
  };
  const choice = (host: string, ...platforms: (string | null)[]) =>
    choosePlatform(index(...platforms), parsePlatform(host), 'app:1').digest;

  it('takes the manifest that fits best', () => {
    assert.equal(choice('linux/amd64', 'linux/arm64', 'linux/amd64', 'windows/amd64'), digest(1));
    assert.equal(choice('linux/arm/v7', 'linux/arm/v5', 'linux/arm/v6', 'linux/arm/v7'), digest(2));
    assert.equal(choice('linux/arm/v6', 'linux/arm/v5', 'linux/arm/v7', 'linux/arm/v6'), digest(2));
    assert.equal(choice('linux/arm64', 'linux/arm64/v8', 'linux/amd64'), digest(0));
    assert.equal(choice('linux/arm64/v8', 'linux/arm64'), digest(0));
    // Attestations are listed beside images as unknown/unknown.
    assert.equal(choice('linux/amd64', 'unknown/unknown', 'linux/amd64'), digest(1));
    assert.equal(choice('linux/amd64', null, 'linux/amd64'), digest(1));
    assert.equal(choice('linux/amd64', null), digest(0));
  });

  it('says what there is where nothing fits', () => {
    assert.throws(
      () => choice('linux/amd64', 'linux/arm64', 'linux/arm/v7', 'unknown/unknown'),
      (error) =>
        isCode(error, 'not_found') &&
        /nothing for linux\/amd64; the image is made for linux\/arm64, linux\/arm\/v7$/.test(error.message),
    );
    assert.throws(() => choice('linux/arm/v6', 'linux/arm/v7'), /nothing for linux\/arm\/v6/);
  });

  it('a plain amd64 host does not run a higher level', () => {
    assert.equal(matchRank(platformOf('linux/amd64/v3'), platformOf('linux/amd64')), null);
    assert.notEqual(matchRank(platformOf('linux/amd64'), platformOf('linux/amd64/v3')), null);
  });

  it('reads platforms of the configuration', () => {
    assert.deepEqual(parsePlatform('linux/arm/v7'), { os: 'linux', architecture: 'arm', variant: 'v7' });
    assert.equal(parsePlatform('').os, 'linux');
    for (const text of ['linux', 'linux/', 'a/b/c/d'])
      assert.throws(() => parsePlatform(text), /write it as/);
  });
});
