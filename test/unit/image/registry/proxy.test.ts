import assert from 'node:assert/strict';
import { it } from 'node:test';
import { HttpClient } from '../../../../src/image/registry/http.ts';
import { proxyFor } from '../../../../src/image/registry/proxy.ts';
import { DEFAULT_TRANSPORT } from '../../../../src/image/registry/transport.ts';
import { ScriptedRegistry } from './server.ts';

const PROXIES = { HTTP_PROXY: 'http://h:1', HTTPS_PROXY: 's:2' };

it('the proxy of a scheme, upper case first, never for loopback', () => {
  const of = (url: string, environment: Record<string, string>) =>
    proxyFor(new URL(url), environment)?.origin;
  assert.equal(of('http://a.example/', PROXIES), 'http://h:1');
  assert.equal(of('https://a.example/', PROXIES), 'http://s:2');
  assert.equal(of('https://a.example/', { HTTP_PROXY: 'http://h:1' }), undefined);
  assert.equal(of('http://a.example/', { http_proxy: 'low:1', HTTP_PROXY: 'up:1' }), 'http://up:1');
  assert.equal(of('http://a.example/', { http_proxy: 'low:1', HTTP_PROXY: '' }), 'http://low:1');
  for (const host of ['localhost:5000', '127.0.0.1', '127.3.2.1:80', '[::1]:5000'])
    assert.equal(of(`http://${host}/`, PROXIES), undefined, host);
  assert.throws(
    () => of('http://a.example/', { HTTP_PROXY: 'socks5://user:secret@p:1' }),
    (error: Error) =>
      /HTTP_PROXY is no URL of an http proxy/.test(error.message) && !/secret/.test(error.message),
  );
});

it('NO_PROXY names hosts, domains, addresses and networks, each perhaps with a port', () => {
  const table: [list: string, url: string, exempt: boolean][] = [
    ['*', 'http://a.example/', true],
    ['a.example', 'http://a.example/', true],
    ['a.example', 'http://b.a.example/', true],
    ['a.example', 'http://ba.example/', false],
    ['.a.example', 'http://a.example/', false],
    ['.a.example', 'http://b.a.example/', true],
    ['*.a.example', 'http://b.a.example/', true],
    ['*.a.example', 'http://a.example/', false],
    ['A.Example', 'http://a.EXAMPLE/', true],
    ['x, a.example:8080 ,y', 'http://a.example:8080/', true],
    ['a.example:8080', 'http://a.example/', false],
    ['a.example:443', 'https://a.example/', true],
    ['10.0.0.0/8', 'https://10.200.3.4:5000/', true],
    ['10.0.0.0/8', 'https://11.0.0.1/', false],
    ['10.0.0.0/8', 'https://ten.example/', false],
    ['10.1.2.3', 'http://10.1.2.3:5000/', true],
    ['10.1.2.3:80', 'http://10.1.2.3:5000/', false],
    ['fd00::/8', 'http://[fd12::3]:5000/', true],
    ['fd00::/8', 'http://[fe80::3]/', false],
    ['fd12::3', 'http://[fd12::3]/', true],
    ['[fd12::3]:5000', 'http://[fd12::3]:5000/', true],
    ['10.0.0.0/99,nonsense/8,', 'http://10.0.0.1/', false],
    ['', 'http://a.example/', false],
  ];
  for (const [list, url, exempt] of table)
    assert.equal(proxyFor(new URL(url), { ...PROXIES, no_proxy: list }) === null, exempt, `${list} ${url}`);
});

it('plain http goes to the proxy with the whole URL and its own credentials', async () => {
  await using proxy = await ScriptedRegistry.start();
  const url = 'http://registry.invalid:5000/v2/x?ns=y';
  // An absolute URL in the request line: only a proxy gets one.
  proxy.on('http://registry.invalid:5000/v2/x', (_, response) => response.end('through'));
  const http = new HttpClient({
    stallTimeoutMs: 1000,
    environment: { HTTP_PROXY: `http://me:pa%20ss@${proxy.host}` },
  });
  const call = {
    url,
    headers: {},
    transport: DEFAULT_TRANSPORT,
    signal: AbortSignal.timeout(5000),
    action: 'get',
  };
  // The test's proxy is on loopback, its target is not.
  const answer = await http.sendOk(call);
  assert.equal((await http.readBody(answer, 100, call)).toString(), 'through');
  assert.equal(proxy.seen[0]?.headers.host, 'registry.invalid:5000');
  const authorization = `Basic ${Buffer.from('me:pa ss').toString('base64')}`;
  assert.equal(proxy.seen[0]?.headers['proxy-authorization'], authorization);
  proxy.on('http://registry.invalid:5000/v2/x', (_, response) => response.writeHead(407).end());
  await assert.rejects(http.sendOk(call), /the proxy wants other credentials/);
  await http.close();
});
