// A node:test reporter for scripts/test/: one JSON line per finished test, with
// what the counting needs. JavaScript, because node:test wants a default export.

/** Errors do not survive JSON: their stack with causes, as a terminal shows it. */
function textOf(error) {
  const inner = error?.cause ?? error;
  const stack = inner instanceof Error ? (inner.stack ?? inner.message) : String(inner ?? '');
  const further = inner instanceof Error && inner.cause instanceof Error ? `\ncaused by ${textOf(inner.cause)}` : '';
  return stack + further;
}

export default async function* reporter(events) {
  for await (const { type, data } of events) {
    if (type === 'test:diagnostic' && /^(seed|figure)\b/.test(data.message))
      yield `${JSON.stringify({ kind: 'note', text: data.message })}\n`;
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    const error = data.details?.error;
    yield `${JSON.stringify({
      kind: 'test',
      name: data.name,
      nesting: data.nesting,
      passed: type === 'test:pass',
      suite: data.details?.type === 'suite',
      failureType: error?.failureType ?? '',
      error: type === 'test:fail' ? textOf(error) : '',
      skip: data.skip ?? null,
      todo: data.todo ?? null,
      ms: data.details?.duration_ms ?? 0,
    })}\n`;
  }
}
