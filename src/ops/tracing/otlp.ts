import {
  type Context,
  DiagLogLevel,
  diag,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-grpc';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  BasicTracerProvider,
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
} from '@opentelemetry/sdk-trace-base';
import { ERROR_CODES } from '../../base/errors.ts';
import type { Log } from '../../base/log.ts';
import type { Done, Follow } from '../../base/span.ts';
import { within } from '../../base/wait.ts';
import { remoteParent } from './parent.ts';

/** Milliseconds for one batch to be taken, and for the last one at the end of the daemon. */
const EXPORT_MS = 3000;

export interface TracingOptions {
  /** URL or host:port of a collector that takes OTLP over gRPC. */
  endpoint: string;
  /** How many of a million calls that are part of no trace begin one. */
  samplingRatePerMillion: number;
  version: string;
}

/**
 * Sends spans of calls to an OpenTelemetry collector, as parts of what the kubelet traces. Spans that the
 * collector does not take in time are dropped: at most 2048 wait.
 */
export class OtlpTracing {
  readonly #provider: BasicTracerProvider;
  readonly #tracer: Tracer;

  constructor(options: TracingOptions, deps: { log: Log }) {
    const { endpoint, samplingRatePerMillion, version } = options;
    const url = endpoint.includes('://') ? endpoint : `http://${endpoint}`;
    const tell = (message: string): void =>
      deps.log.warn({ endpoint, error: reason(message) }, 'traces are not sent');
    const quiet = (): void => {};
    diag.setLogger(
      { error: tell, warn: quiet, info: quiet, debug: quiet, verbose: quiet },
      { logLevel: DiagLogLevel.ERROR, suppressOverrideMessage: true },
    );
    const exporter = new OTLPTraceExporter({ url, timeoutMillis: EXPORT_MS });
    this.#provider = new BasicTracerProvider({
      resource: resourceFromAttributes({ 'service.name': 'skiff', 'service.version': version }),
      sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(samplingRatePerMillion / 1e6) }),
      spanProcessors: [new BatchSpanProcessor(exporter, { exportTimeoutMillis: EXPORT_MS })],
    });
    this.#tracer = this.#provider.getTracer('skiff', version);
  }

  /** Begins the span of a gRPC call, below the caller's where its headers name one. */
  follow: Follow = (path, header) => {
    const parent = remoteParent(header('traceparent'), header('tracestate'));
    const above = parent === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, parent);
    const name = path.replace(/^\//, '');
    const [service = '', method = ''] = name.split('/');
    const attributes = { 'rpc.system': 'grpc', 'rpc.service': service, 'rpc.method': method };
    const span = this.#tracer.startSpan(name, { kind: SpanKind.SERVER, attributes }, above);
    const context = trace.setSpan(ROOT_CONTEXT, span);
    return {
      add: (done) => this.#add(done, context),
      end: ({ subject, endedAt, error }) => {
        // The list is in the order of gRPC's numbers, from 1.
        const code = error === undefined ? 0 : ERROR_CODES.indexOf(error.code) + 1;
        span.setAttributes({ ...named(subject), 'rpc.grpc.status_code': code });
        if (error !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
        span.end(instant(endedAt));
      },
    };
  };

  /** Sends what still waits, for a bounded time, and ends. */
  async close(): Promise<void> {
    const closed = this.#provider.shutdown().catch(() => undefined);
    await within(closed, EXPORT_MS, new AbortController().signal);
    diag.disable();
  }

  #add({ name, startedAt, endedAt, subject, error, parts }: Done, above: Context): void {
    const attributes = named(subject);
    const span = this.#tracer.startSpan(name, { startTime: instant(startedAt), attributes }, above);
    const context = trace.setSpan(ROOT_CONTEXT, span);
    for (const part of parts)
      this.#tracer
        .startSpan(part.name, { startTime: instant(part.startedAt) }, context)
        .end(instant(part.endedAt ?? endedAt));
    if (error !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
    span.end(instant(endedAt));
  }
}

/** Milliseconds since the epoch of an instant of the monotonic clock. */
function instant(ms: number): number {
  return performance.timeOrigin + ms;
}

function named(subject: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(subject).map(([name, value]) => [`skiff.${name}`, value]));
}

/** OpenTelemetry's own words for its log: an error comes as JSON of all its fields. */
function reason(message: string): string {
  try {
    const error: unknown = JSON.parse(message);
    if (typeof error === 'object' && error !== null && 'message' in error) return String(error.message);
  } catch {
    // Plain text.
  }
  return message;
}
