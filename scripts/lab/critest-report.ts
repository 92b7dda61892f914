/**
 * From ginkgo's JSON report (ginkgo/v2/types, Report and SpecReport) to the lines that scripts/test/results.ts reads:
 * node scripts/lab/critest-report.ts REPORT. A spec that was left out by a filter has no failure message.
 */
import { readFileSync } from 'node:fs';

interface SpecReport {
  ContainerHierarchyTexts: string[] | null;
  LeafNodeType: string;
  LeafNodeText: string;
  State: string;
  /** Nanoseconds. */
  RunTime: number;
  Failure?: { Message: string; Location?: { FileName: string; LineNumber: number } };
}

function lineOf(spec: SpecReport): object {
  const skipped = spec.State === 'skipped' || spec.State === 'pending';
  const where = spec.Failure?.Location;
  const place = where === undefined ? '' : `\n    at ${where.FileName}:${where.LineNumber}`;
  return {
    kind: 'test',
    name: [...(spec.ContainerHierarchyTexts ?? []), spec.LeafNodeText].join(' '),
    nesting: 0,
    passed: spec.State === 'passed' || skipped,
    suite: false,
    failureType: '',
    error: `${spec.State}: ${spec.Failure?.Message ?? ''}${place}`,
    skip: skipped ? spec.Failure?.Message || 'left out by name' : null,
    todo: null,
    ms: spec.RunTime / 1e6,
  };
}

const [path = ''] = process.argv.slice(2);
const reports = JSON.parse(readFileSync(path, 'utf8')) as { SpecReports: SpecReport[] | null }[];
// Set-up and clean-up of the whole suite count where they fail.
for (const report of reports)
  for (const spec of report.SpecReports ?? [])
    if (spec.LeafNodeType === 'It' || spec.State === 'failed' || spec.State === 'panicked')
      process.stdout.write(`${JSON.stringify(lineOf(spec))}\n`);
