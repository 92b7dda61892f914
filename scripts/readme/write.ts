/**
 * Writes the generated parts of README.md: the configuration reference, from the schema.
 * `node scripts/readme/write.ts` writes them, `node scripts/readme/write.ts --check` fails where they are out of date.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { referenceTable } from '../../src/config/render.ts';

const README = join(import.meta.dirname, '../..', 'README.md');

/** `text` with what stands between `<!-- name...-->` and `<!-- /name -->` replaced. */
export function fill(text: string, name: string, content: string): string {
  const part = new RegExp(`(<!-- ${name}[^>]*-->\\n)[^]*?(<!-- /${name} -->)`);
  if (!part.test(text)) throw new Error(`README.md has no part "${name}"`);
  return text.replace(part, (_, open: string, close: string) => `${open}${content.trimEnd()}\n${close}`);
}

/** README.md as it should be. */
export function readme(text: string): string {
  return fill(text, 'config reference', referenceTable());
}

function main(options: string[]): number {
  if (options.includes('-h') || options.includes('--help')) {
    console.log('usage: node scripts/readme/write.ts [--check]\n\nWrites the generated parts of README.md.');
    return 0;
  }
  const now = readFileSync(README, 'utf8');
  const wanted = readme(now);
  if (now === wanted) return 0;
  if (options.includes('--check')) {
    console.error('README.md is out of date: run `node scripts/readme/write.ts`');
    return 1;
  }
  writeFileSync(README, wanted);
  console.log('README.md is written');
  return 0;
}

if (import.meta.main) process.exitCode = main(process.argv.slice(2));
