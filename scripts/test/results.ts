/** From the reporter's lines (reporter.mjs) to the results that are counted. Pure. */

export interface TestResult {
  /** `test/unit/base/rows.test.ts > rows > inserts`. */
  name: string;
  outcome: 'passed' | 'failed' | 'skipped';
  /** Why it was skipped, or the error with its stack; '' where it passed. */
  detail: string;
  ms: number;
}

interface TestLine {
  kind: 'test';
  name: string;
  nesting: number;
  passed: boolean;
  suite: boolean;
  failureType: string;
  error: string;
  skip: string | boolean | null;
  todo: string | boolean | null;
  ms: number;
}

interface NoteLine {
  kind: 'note';
  text: string;
}

export interface FileReport {
  results: TestResult[];
  notes: string[];
}

/**
 * The results of one file. A test that only holds further tests is not counted
 * itself, unless it failed by itself (a hook, a timeout). node:test reports
 * children before their parent, so names are completed from the end.
 */
export function readReport(file: string, text: string): FileReport {
  const lines = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as TestLine | NoteLine);
  const tests = lines.filter((line) => line.kind === 'test');
  const path = [file];
  // From the end, a parent comes before its children.
  const results = tests
    .map((line, index) => ({ line, counted: isCounted(line, tests[index - 1]) }))
    .reverse()
    .flatMap(({ line, counted }) => {
      path.length = line.nesting + 1;
      path.push(line.name);
      return counted ? [resultOf(line, path.join(' > '))] : [];
    });
  return {
    results: results.reverse(),
    notes: lines.filter((line) => line.kind === 'note').map((line) => line.text),
  };
}

/** `before` is the line reported before it: its last child, if it has any. */
function isCounted(line: TestLine, before: TestLine | undefined): boolean {
  const isParent = line.suite || (before !== undefined && before.nesting > line.nesting);
  return !isParent || (!line.passed && line.failureType !== 'subtestsFailed');
}

function resultOf(line: TestLine, name: string): TestResult {
  if (line.skip !== null && line.skip !== false)
    return { name, outcome: 'skipped', detail: reasonOf(line.skip), ms: 0 };
  if (line.todo !== null && line.todo !== false && !line.passed)
    return { name, outcome: 'skipped', detail: `to do: ${reasonOf(line.todo)}`, ms: line.ms };
  return { name, outcome: line.passed ? 'passed' : 'failed', detail: line.error, ms: line.ms };
}

function reasonOf(value: string | boolean): string {
  return typeof value === 'string' && value !== '' ? value : 'no reason given';
}
