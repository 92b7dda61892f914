import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isCode } from '../../../../src/base/errors.ts';
import { parseHostsFile } from '../../../../src/image/registry/hosts-file.ts';

const read = (text: string) => parseHostsFile(text, '/certs.d/x/hosts.toml');

it('hosts stand in the order of the file, the server after them', () => {
  const { hosts, server } = read(`
server = "https://upstream.example"
ca = "root.crt"

[host."https://z.example"]
  capabilities = ["pull"]
  [host."https://z.example".header]
    X-One = "a"
    x-two = ["b", "c"]
[host."http://10.0.0.1:5000"]
  capabilities = ["Pull", "resolve", "push"]
  skip_verify = true
  dial_timeout = "1m1.5s"
[host."a.example/team"]
  client = [["c.cert", "c.key"], ["/d.pem", ""]]
  ca = ["1.pem", "2.pem"]
`);
  assert.deepEqual(
    hosts.map(({ scheme, address }) => `${scheme} ${address}`),
    ['https z.example/v2', 'http 10.0.0.1:5000/v2', 'https a.example/team/v2'],
  );
  assert.deepEqual(
    hosts.map(({ pull, resolve }) => [pull, resolve]),
    [
      [true, false],
      [true, true],
      [true, true],
    ],
  );
  assert.deepEqual(hosts[0]?.headers, { 'x-one': 'a', 'x-two': 'b, c' });
  assert.deepEqual([hosts[0]?.skipVerify, hosts[1]?.skipVerify], [undefined, true]);
  assert.deepEqual([hosts[0]?.dialTimeoutMs, hosts[1]?.dialTimeoutMs], [undefined, 61_500]);
  assert.deepEqual(hosts[2]?.clients, [
    { cert: 'c.cert', key: 'c.key' },
    { cert: '/d.pem', key: '' },
  ]);
  assert.deepEqual(hosts[2]?.ca, ['1.pem', '2.pem']);
  assert.equal(`${server.scheme} ${server.address}`, 'https upstream.example/v2');
  assert.deepEqual(server.ca, ['root.crt']);
});

it('the API root is /v2 below the path, unless override_path says that the path is the root', () => {
  const table: [url: string, override: boolean, address: string][] = [
    ['https://m.example', false, 'm.example/v2'],
    ['https://m.example/', false, 'm.example/v2'],
    ['https://m.example/v2/', false, 'm.example/v2'],
    ['https://m.example/v2/proxy', false, 'm.example/v2/proxy/v2'],
    ['https://m.example/v2/proxy', true, 'm.example/v2/proxy'],
    ['https://m.example', true, 'm.example'],
    ['https://m.example:5000//a/../b', false, 'm.example:5000/b/v2'],
    ['https://docker.io', false, 'registry-1.docker.io/v2'],
  ];
  for (const [url, override, address] of table) {
    const { hosts } = read(`[host.${JSON.stringify(url)}]\noverride_path = ${override}`);
    assert.equal(hosts[0]?.address, address, url);
  }
});

it('without a server the registry itself is asked last; other keys are for other readers', () => {
  const { hosts, server } = read('future = 1\n[plan]\nb = 2');
  assert.deepEqual(hosts, []);
  assert.equal(server.address, '');
  assert.ok(server.pull && server.resolve);
});

describe('what cannot be read is told with the file and the key', () => {
  const table: [text: string, message: RegExp][] = [
    ['server = 3', /server: expected a text/],
    ['server = "ftp://x.example"', /"ftp:\/\/x\.example" is no http or https URL/],
    ['host = "x"', /host: expected a table/],
    [
      '[host."https://m"]\ncapabilities = ["pul"]',
      /host\."https:\/\/m"\.capabilities: expected one of .* found "pul"/,
    ],
    ['[host."https://m"]\nca = 1', /\.ca: expected a text/],
    ['[host."https://m"]\nclient = [["a", "b", "c"]]', /\.client: expected a path, paths, or pairs/],
    ['[host."https://m"]\nskip_verify = "yes"', /\.skip_verify: expected true or false/],
    ['[host."https://m"]\ndial_timeout = "soon"', /\.dial_timeout: expected a time such as/],
    ['[host."https://m"]\ndial_timeout = 5', /\.dial_timeout: expected a time such as/],
    ['[host."https://m"]\nheader = "x"', /\.header: expected a table/],
  ];
  for (const [text, message] of table)
    it(text.replaceAll('\n', ' '), () =>
      assert.throws(
        () => read(text),
        (error) =>
          isCode(error, 'failed_precondition') &&
          error.message.startsWith('read /certs.d/x/hosts.toml: ') &&
          message.test(error.message),
      ),
    );

  it('no TOML: line and column, and nothing of the lines around it', () =>
    assert.throws(
      () => read('[host."https://m"]\nheader = { authorization = "Basic c2VjcmV0"'),
      (error: Error) =>
        /^read \/certs\.d\/x\/hosts\.toml:2:\d+: not TOML/.test(error.message) &&
        !/c2VjcmV0/.test(`${error.message} ${error.cause}`),
    ));
});
