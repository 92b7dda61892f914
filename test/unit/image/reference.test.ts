import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isCode } from '../../../src/base/errors.ts';
import { formatReference, parseReference } from '../../../src/image/reference.ts';

const DIGEST = `sha256:${'ab'.repeat(32)}`;

describe('parseReference', () => {
  const normalised: [string, string][] = [
    ['busybox', 'docker.io/library/busybox:latest'],
    ['busybox:1.36', 'docker.io/library/busybox:1.36'],
    ['library/busybox', 'docker.io/library/busybox:latest'],
    ['docker.io/busybox', 'docker.io/library/busybox:latest'],
    ['index.docker.io/library/busybox', 'docker.io/library/busybox:latest'],
    ['grafana/loki:3.0', 'docker.io/grafana/loki:3.0'],
    ['localhost/app', 'localhost/app:latest'],
    ['localhost:5000/app:v1', 'localhost:5000/app:v1'],
    ['127.0.0.1:5000/a/b/c', '127.0.0.1:5000/a/b/c:latest'],
    ['[::1]:5000/app:v1', '[::1]:5000/app:v1'],
    ['[fe80::1]/app', '[fe80::1]/app:latest'],
    ['REGISTRY/app', 'REGISTRY/app:latest'],
    ['registry.example/app:8080', 'registry.example/app:8080'],
    ['registry.example/a_b/c__d/e-f/g.h/i--j', 'registry.example/a_b/c__d/e-f/g.h/i--j:latest'],
    [`busybox@${DIGEST}`, `docker.io/library/busybox@${DIGEST}`],
    [`busybox:1.36@${DIGEST}`, `docker.io/library/busybox@${DIGEST}`],
    [`[::1]:5000/app:v1@${DIGEST}`, `[::1]:5000/app@${DIGEST}`],
    [`registry.example:443/${'ab'.repeat(32)}`, `registry.example:443/${'ab'.repeat(32)}:latest`],
  ];
  for (const [text, expected] of normalised)
    it(`reads ${text}`, () => assert.equal(formatReference(parseReference(text)), expected));

  it('reads what it wrote', () => {
    for (const [text] of normalised) {
      const reference = parseReference(text);
      assert.deepEqual(parseReference(formatReference(reference)), reference);
    }
  });

  const wrong: [string, RegExp][] = [
    ['', /it is empty/],
    ['https://registry.example/app', /no scheme/],
    ['Busybox', /must be lower case/],
    ['registry.example/App', /must be lower case/],
    ['busy box', /white space/],
    ['busybox:', /"" is not a tag/],
    ['busybox:-x', /"-x" is not a tag/],
    [`busybox:${'x'.repeat(129)}`, /is not a tag/],
    ['busybox@', /is not a digest/],
    ['busybox@sha256:abc', /is not a digest/],
    [`busybox@sha256:${'AB'.repeat(32)}`, /is not a digest/],
    [`busybox@md5:${'ab'.repeat(16)}`, /is not a digest/],
    ['registry.example//app', /is empty/],
    ['registry.example/', /is empty/],
    ['registry.example/app/', /is empty/],
    ['-registry.example/app', /not a registry host/],
    ['registry.example:port/app', /not a registry host/],
    ['registry.example/a___b', /not a repository name/],
    ['registry.example/-app', /not a repository name/],
    ['../app', /not a registry host/],
    ['ab'.repeat(32), /is an image id/],
    [`registry.example/${'a/'.repeat(130)}b`, /longer than 255/],
  ];
  for (const [text, why] of wrong)
    it(`refuses ${JSON.stringify(text.slice(0, 40))}`, () =>
      assert.throws(
        () => parseReference(text),
        (error) => isCode(error, 'invalid_argument') && why.test(error.message),
      ));
});
