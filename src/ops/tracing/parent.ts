import { createTraceState, isSpanContextValid, type SpanContext } from '@opentelemetry/api';

/** version "-" trace-id "-" parent-id "-" trace-flags; later versions may append more. */
const TRACEPARENT = /^(?!ff)([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(-.*)?$/;

/**
 * The caller's span out of the headers of W3C Trace Context, undefined where they name none. A header that
 * breaks the rules is as none (section "Processing Model").
 */
export function remoteParent(
  traceparent: string | undefined,
  tracestate: string | undefined,
): SpanContext | undefined {
  const [, version, traceId = '', spanId = '', flags = '', more] =
    TRACEPARENT.exec(traceparent?.trim() ?? '') ?? [];
  if (version === undefined || (version === '00' && more !== undefined)) return undefined;
  const parent: SpanContext = { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & 1, isRemote: true };
  if (!isSpanContextValid(parent)) return undefined;
  return tracestate === undefined ? parent : { ...parent, traceState: createTraceState(tracestate) };
}
