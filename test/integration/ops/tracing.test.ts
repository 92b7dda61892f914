import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import protobuf from 'protobufjs';
import { SkiffError } from '../../../src/base/errors.ts';
import { silentLog } from '../../../src/base/log.ts';
import { message } from '../../../src/cri/proto.ts';
import { CriServer } from '../../../src/cri/server.ts';
import { OtlpTracing } from '../../../src/ops/tracing/otlp.ts';
import type { ImageApi, RuntimeApi } from '../../../src/service/api.ts';
import { Operations } from '../../../src/service/operations.ts';
import type { StreamUrls } from '../../../src/service/streaming.ts';
import { frame, rawCall, rawSession } from '../cri/raw.ts';

/** Of opentelemetry/proto/collector/trace/v1 and what it holds: the fields that are looked at. */
const { root: proto } = protobuf.parse(`
  syntax = "proto3";
  message Request { repeated ResourceSpans resource_spans = 1; }
  message ResourceSpans { Resource resource = 1; repeated ScopeSpans scope_spans = 2; }
  message Resource { repeated KeyValue attributes = 1; }
  message ScopeSpans { repeated Span spans = 2; }
  message Span { bytes trace_id = 1; bytes span_id = 2; bytes parent_span_id = 4; string name = 5;
    fixed64 start_time_unix_nano = 7; fixed64 end_time_unix_nano = 8; repeated KeyValue attributes = 9;
    Status status = 15; }
  message Status { string message = 2; int32 code = 3; }
  message KeyValue { string key = 1; AnyValue value = 2; }
  message AnyValue { string string_value = 1; int64 int_value = 3; }
`);

interface KeyValue {
  key: string;
  value: { stringValue?: string; intValue?: number };
}
interface SentSpan {
  traceId: string;
  spanId: string;
  parentSpanId: string;
  name: string;
  startTimeUnixNano: number;
  endTimeUnixNano: number;
  attributes: KeyValue[];
  status?: { code: number; message: string };
}
interface Sent {
  resourceSpans: { resource: { attributes: KeyValue[] }; scopeSpans: { spans: SentSpan[] }[] }[];
}

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const PARENT = '00f067aa0ba902b7';
const STATUS_ERROR = 2;

/** A collector; what it was sent, and its address. */
async function collector(t: TestContext): Promise<{ endpoint: string; sent: Sent[] }> {
  const sent: Sent[] = [];
  const server = new Server();
  const type = proto.lookupType('Request');
  const bytes = (buffer: Buffer): Buffer => buffer;
  server.addService(
    {
      Export: {
        path: '/opentelemetry.proto.collector.trace.v1.TraceService/Export',
        requestStream: false,
        responseStream: false,
        requestSerialize: bytes,
        requestDeserialize: bytes,
        responseSerialize: bytes,
        responseDeserialize: bytes,
      },
    },
    {
      Export: (call: { request: Buffer }, respond: (error: null, reply: Buffer) => void) => {
        const decoded = type.decode(call.request);
        sent.push(type.toObject(decoded, { bytes: String, longs: Number, arrays: true }) as Sent);
        respond(null, Buffer.alloc(0));
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );
  t.after(() => server.forceShutdown());
  return { endpoint: `127.0.0.1:${port}`, sent };
}

/** Traces the calls made by `calls` on a CRI server over `runtime`, until all is sent. */
async function traced(
  t: TestContext,
  options: { endpoint: string; samplingRatePerMillion: number },
  runtime: Partial<RuntimeApi>,
  calls: (call: (method: string, traceparent?: string) => Promise<unknown>) => Promise<unknown>,
): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'sk-'));
  t.after(() => rm(directory, { recursive: true }));
  const log = silentLog();
  const tracing = new OtlpTracing({ ...options, version: '1.2.3' }, { log });
  const server = new CriServer(
    { socket: join(directory, 'skiff.sock') },
    {
      runtime: runtime as RuntimeApi,
      images: {} as ImageApi,
      streams: {} as StreamUrls,
      log,
      follow: tracing.follow,
    },
  );
  await server.start();
  const session = rawSession(join(directory, 'skiff.sock'));
  const body = frame(message('StartContainerRequest').serialize({ container_id: 'c1' }));
  await calls((method, traceparent) =>
    rawCall(
      session,
      `/runtime.v1.RuntimeService/${method}`,
      body,
      traceparent === undefined ? {} : { traceparent },
    ),
  );
  session.destroy();
  await server.stop();
  await tracing.close();
}

function spansOf(sent: Sent[]): SentSpan[] {
  return sent.flatMap(({ resourceSpans }) =>
    resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)),
  );
}

function attribute(attributes: KeyValue[], key: string): string | number | undefined {
  const value = attributes.find((one) => one.key === key)?.value;
  return value?.stringValue ?? value?.intValue;
}

function hex(base64: string): string {
  return Buffer.from(base64, 'base64').toString('hex');
}

describe('traces', () => {
  it('are parts of what the caller traces, down to the steps of an operation', async (t) => {
    const { endpoint, sent } = await collector(t);
    const operations = new Operations({ log: silentLog() });
    const runtime: Partial<RuntimeApi> = {
      startContainer: (_, id) =>
        operations.run('StartContainer', id, async (op) => {
          await op.step('mount rootfs', async () => undefined);
          await op.step('start shim', async () => {
            throw new SkiffError('not_found', 'exec /bin/x: no such file');
          });
        }),
    };
    await traced(t, { endpoint, samplingRatePerMillion: 0 }, runtime, (call) =>
      call('StartContainer', `00-${TRACE}-${PARENT}-01`),
    );
    const spans = spansOf(sent);
    const byName = (name: string): SentSpan => spans.find((span) => span.name === name) ?? assert.fail(name);
    const call = byName('runtime.v1.RuntimeService/StartContainer');
    const operation = byName('StartContainer');
    assert.equal(spans.length, 4);
    assert.ok(spans.every((span) => hex(span.traceId) === TRACE));
    assert.equal(hex(call.parentSpanId), PARENT);
    assert.equal(operation.parentSpanId, call.spanId);
    for (const step of ['mount rootfs', 'start shim'])
      assert.equal(byName(step).parentSpanId, operation.spanId);
    assert.equal(attribute(call.attributes, 'skiff.container'), 'c1');
    assert.equal(attribute(call.attributes, 'rpc.method'), 'StartContainer');
    assert.equal(attribute(call.attributes, 'rpc.grpc.status_code'), 5);
    assert.deepEqual(call.status, { code: STATUS_ERROR, message: 'start shim: exec /bin/x: no such file' });
    for (const span of spans) {
      assert.ok(span.startTimeUnixNano <= span.endTimeUnixNano, span.name);
      assert.ok(Math.abs(span.endTimeUnixNano / 1e6 - Date.now()) < 60_000, span.name);
    }
    const [resource] = sent.flatMap(({ resourceSpans }) => resourceSpans);
    assert.equal(attribute(resource?.resource.attributes ?? [], 'service.name'), 'skiff');
  });

  it('begin here only as often as is configured, and never where the caller does not trace', async (t) => {
    const version: Partial<RuntimeApi> = {
      version: () => ({ runtimeName: 'skiff', runtimeVersion: '1.2.3' }),
    };
    const count = async (samplingRatePerMillion: number, traceparent?: string): Promise<number> => {
      const { endpoint, sent } = await collector(t);
      await traced(t, { endpoint, samplingRatePerMillion }, version, async (call) => {
        for (let round = 0; round < 5; round++) await call('Version', traceparent);
      });
      return spansOf(sent).length;
    };
    assert.equal(await count(0), 0);
    assert.equal(await count(1_000_000), 5);
    assert.equal(await count(1_000_000, `00-${TRACE}-${PARENT}-00`), 0);
  });

  it('hold up neither calls nor the end of the daemon where nobody takes them', async (t) => {
    const began = performance.now();
    const options = { endpoint: '127.0.0.1:1', samplingRatePerMillion: 1_000_000 };
    await traced(
      t,
      options,
      { version: () => ({ runtimeName: 'skiff', runtimeVersion: '1.2.3' }) },
      async (call) => {
        const asked = performance.now();
        await call('Version');
        assert.ok(performance.now() - asked < 1000);
      },
    );
    assert.ok(performance.now() - began < 8000);
  });
});
