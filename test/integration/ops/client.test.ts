import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { isCode } from '../../../src/base/errors.ts';
import { OpsClient, probe } from '../../../src/cli/ops-client.ts';

let directory: string;
let server: Server;
let client: OpsClient;
let answer: (response: ServerResponse) => void;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sk-client-'));
  const socketPath = join(directory, 's');
  server = createServer((_, response) => answer(response));
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  client = new OpsClient({ socketPath });
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await rm(directory, { recursive: true });
});

describe('a client of ops.sock', () => {
  it('keeps code and words of an error', async () => {
    answer = (response) => response.writeHead(404).end('{"error":"no such image","code":"not_found"}\n');
    await assert.rejects(
      client.get('/x'),
      (cause) => isCode(cause, 'not_found') && cause.message === 'no such image',
    );
  });

  it('reads lines however they are cut', async () => {
    answer = async (response) => {
      for (const part of ['{"a":', '1}\n{"a":2}\n{', '"a":3}', '\n']) {
        response.write(part);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      response.end();
    };
    const found: unknown[] = [];
    for await (const line of client.lines('GET', '/x')) found.push(line);
    assert.deepEqual(found, [{ a: 1 }, { a: 2 }, { a: 3 }]);
  });

  it('says when the daemon ends in the middle of an answer', async () => {
    answer = (response) => {
      response.write('{"a":1}\n', () => response.destroy());
    };
    const read = async () => {
      for await (const _ of client.lines('GET', '/x'));
    };
    await assert.rejects(read(), /the daemon ended before its answer did/);
  });

  it('leaves when it is told to', async () => {
    const closed = Promise.withResolvers<void>();
    answer = (response) => {
      response.write('{"a":1}\n');
      response.once('close', closed.resolve);
    };
    const stop = new AbortController();
    const read = async () => {
      for await (const _ of client.lines('GET', '/x', undefined, stop.signal)) stop.abort();
    };
    await assert.rejects(read(), { name: 'AbortError' });
    await closed.promise;
  });

  it('leaves when its reader does', async () => {
    const closed = Promise.withResolvers<void>();
    answer = (response) => {
      response.write('{"a":1}\n{"a":2}\n');
      response.once('close', closed.resolve);
    };
    for await (const _ of client.lines('GET', '/x')) break;
    await closed.promise;
  });

  it('says what to do where nobody listens', async () => {
    const path = join(directory, 'none');
    await assert.rejects(probe(path), /no daemon listens there; start it with "skiff serve"/);
    await assert.rejects(new OpsClient({ socketPath: path }).get('/x'), /no daemon listens there/);
  });
});
