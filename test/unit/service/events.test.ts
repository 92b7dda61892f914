import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { pino } from 'pino';
import { silentLog } from '../../../src/base/log.ts';
import type { ContainerEvent } from '../../../src/service/api.ts';
import { Events } from '../../../src/service/events.ts';
import { sandboxRow } from '../cri/fixtures.ts';

function event(containerId: string): ContainerEvent {
  return { containerId, type: 'started', createdAt: '1', sandbox: sandboxRow(), containers: [] };
}

async function ids(events: AsyncIterable<ContainerEvent>): Promise<string[]> {
  const seen: string[] = [];
  for await (const { containerId } of events) seen.push(containerId);
  return seen;
}

describe('Events', () => {
  it('gives each subscriber all events from its subscription on, in order', async () => {
    const hub = new Events({}, { log: silentLog() });
    const first = new AbortController();
    const second = new AbortController();
    hub.emit(event('before'));
    const a = ids(hub.subscribe(first.signal));
    hub.emit(event('1'));
    const b = ids(hub.subscribe(second.signal));
    hub.emit(event('2'));
    await turn();
    hub.emit(event('3'));
    await turn();
    first.abort();
    assert.deepEqual(await a, ['1', '2', '3']);
    assert.equal(hub.subscribers, 1);
    hub.emit(event('4'));
    await turn();
    second.abort();
    assert.deepEqual(await b, ['2', '3', '4']);
    assert.equal(hub.subscribers, 0);
  });

  it('ends a reader that waits, and one whose signal was aborted before', async () => {
    const hub = new Events({}, { log: silentLog() });
    const waiting = new AbortController();
    const reader = ids(hub.subscribe(waiting.signal));
    await turn();
    waiting.abort();
    assert.deepEqual(await reader, []);
    assert.deepEqual(await ids(hub.subscribe(AbortSignal.abort())), []);
    assert.equal(hub.subscribers, 0);
  });

  it('forgets a reader that breaks off', async () => {
    const hub = new Events({}, { log: silentLog() });
    const events = hub.subscribe(new AbortController().signal);
    hub.emit(event('1'));
    for await (const { containerId } of events) {
      assert.equal(containerId, '1');
      break;
    }
    assert.equal(hub.subscribers, 0);
  });

  it('drops the newest events for a reader that does not read, and says how many', async () => {
    const lines: { msg: string; dropped?: number }[] = [];
    const log = pino({ level: 'warn' }, { write: (line: string) => void lines.push(JSON.parse(line)) });
    const hub = new Events({ queueLength: 3 }, { log });
    const end = new AbortController();
    const slow = hub.subscribe(end.signal);
    for (let n = 0; n < 10; n++) hub.emit(event(`${n}`));
    const seen = ids(slow);
    await turn();
    hub.emit(event('later'));
    await turn();
    end.abort();
    assert.deepEqual(await seen, ['0', '1', '2', 'later']);
    assert.equal(lines.length, 2);
    assert.equal(lines[1]?.dropped, 7);
  });
});
