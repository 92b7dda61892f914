import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { pino } from 'pino';
import type { CallRecord } from '../../../src/cri/call.ts';
import { type CriClient, createClient } from '../../../src/cri/client.ts';
import { CriServer } from '../../../src/cri/server.ts';
import type { ImageApi, RuntimeApi } from '../../../src/service/api.ts';
import type { StreamUrls } from '../../../src/service/streaming.ts';

export interface LogLine {
  level: number;
  msg: string;
  [field: string]: unknown;
}

export interface Served {
  server: CriServer;
  socket: string;
  client: CriClient;
  calls: CallRecord[];
  /** Everything that was logged, as text and as lines. */
  logText(): string;
  logLines(): LogLine[];
}

/**
 * A CRI server on a socket of its own, over a runtime that has only the functions given; the others end in
 * `internal`. All of it is gone after the test.
 */
export async function serve(
  t: TestContext,
  runtime: Partial<RuntimeApi>,
  images: Partial<ImageApi> = {},
  streams: Partial<StreamUrls> = {},
): Promise<Served> {
  const directory = await mkdtemp(join(tmpdir(), 'sk-'));
  const socket = join(directory, 'run/skiff.sock');
  const lines: string[] = [];
  const log = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) });
  const calls: CallRecord[] = [];
  const server = new CriServer(
    { socket, stopTimeoutMs: 300 },
    {
      runtime: {
        version: () => ({ runtimeName: 'skiff', runtimeVersion: '1.2.3' }),
        ...runtime,
      } as RuntimeApi,
      images: images as ImageApi,
      streams: streams as StreamUrls,
      log,
      onCall: (record) => calls.push(record),
    },
  );
  await server.start();
  const client = createClient(socket);
  t.after(async () => {
    client.close();
    await server.stop();
    await rm(directory, { recursive: true, force: true });
  });
  return {
    server,
    socket,
    client,
    calls,
    logText: () => lines.join(''),
    logLines: () => lines.map((line) => JSON.parse(line) as LogLine),
  };
}

/** A promise of what a call's signal was aborted with, and the work that waits for it. */
export function waiting(): {
  work: (context: { signal: AbortSignal }) => Promise<never>;
  reason: Promise<Error>;
} {
  const reason = Promise.withResolvers<Error>();
  return {
    reason: reason.promise,
    work: ({ signal }) =>
      new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          reason.resolve(signal.reason as Error);
          reject(signal.reason);
        });
      }),
  };
}
