import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { isCode } from '../../../src/base/errors.ts';
import { silentLog } from '../../../src/base/log.ts';
import { MetricsServer } from '../../../src/ops/metrics/server.ts';

const TEXT = '# HELP up é\n# TYPE up gauge\nup 1\n';

async function serve(t: TestContext, address = '127.0.0.1:0'): Promise<MetricsServer> {
  const server = new MetricsServer({ address }, { text: () => TEXT, log: silentLog() });
  await server.listen();
  t.after(() => server.close());
  return server;
}

describe('metrics over TCP', () => {
  it('are served on their path, and nothing else is', async (t) => {
    const { port } = await serve(t);
    const at = `http://127.0.0.1:${port}`;
    const reply = await fetch(`${at}/metrics?name=up`);
    assert.equal(reply.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
    assert.equal(await reply.text(), TEXT);
    for (const path of ['/', '/config', '/metrics/', '/journal'])
      assert.equal((await fetch(`${at}${path}`)).status, 404, path);
    assert.equal((await fetch(`${at}/metrics`, { method: 'POST', body: 'x' })).status, 405);
  });

  it('are served over IPv6', async (t) => {
    const { port } = await serve(t, '[::1]:0');
    assert.equal(await (await fetch(`http://[::1]:${port}/metrics`)).text(), TEXT);
  });

  it('say which setting names an address that is taken', async (t) => {
    const { port } = await serve(t);
    await assert.rejects(serve(t, `127.0.0.1:${port}`), (error: unknown) => {
      assert.ok(isCode(error, 'unavailable'));
      assert.match(error.message, /\[metrics\] address/);
      return true;
    });
  });

  it('end at once with the daemon, whoever is still connected', async (t) => {
    const server = await serve(t);
    const idle = connect(server.port, '127.0.0.1');
    idle.on('error', () => {});
    await new Promise((resolve) => idle.once('connect', resolve));
    const closed = new Promise((resolve) => idle.once('close', resolve));
    await server.close();
    await closed;
  });
});
