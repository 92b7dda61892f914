/**
 * Draws the output of a real run as a terminal: text on stdin, SVG on stdout.
 * `sudo scripts/up.sh 2>&1 | node scripts/readme/picture.ts 'sudo scripts/up.sh' >scripts/readme/up.svg`
 */
import { text } from 'node:stream/consumers';

const LINE = 17;
const CHARACTER = 7.8;
const MARGIN = 16;
const COLUMNS = 118;

const COLOURS = {
  ground: '#14191f',
  plain: '#c8d3de',
  step: '#7fd1b9',
  warn: '#e8c268',
  prompt: '#8aa4c8',
} as const;

/** The picture of `command` and what it printed. */
export function terminal(command: string, output: string): string {
  const lines = [`$ ${command}`, ...output.trimEnd().split('\n')].map((line) => line.slice(0, COLUMNS));
  const width = Math.ceil(COLUMNS * CHARACTER) + 2 * MARGIN;
  const height = lines.length * LINE + 2 * MARGIN;
  const rows = lines.map((line, i) => {
    const y = MARGIN + (i + 1) * LINE - 4;
    return `<text x="${MARGIN}" y="${y}" fill="${colourOf(line)}" xml:space="preserve">${escapeXml(line)}</text>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">`,
    `<title>${escapeXml(command)}</title>`,
    `<rect width="100%" height="100%" rx="8" fill="${COLOURS.ground}"/>`,
    `<g font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="13">`,
    ...rows,
    '</g>',
    '</svg>',
    '',
  ].join('\n');
}

function colourOf(line: string): string {
  if (line.startsWith('$ ')) return COLOURS.prompt;
  if (line.startsWith('==>')) return COLOURS.step;
  return /^ {4}warn /.test(line) ? COLOURS.warn : COLOURS.plain;
}

function escapeXml(line: string): string {
  return line.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

if (import.meta.main) {
  const [command] = process.argv.slice(2);
  if (command === undefined || command === '-h' || command === '--help')
    console.log("usage: COMMAND 2>&1 | node scripts/readme/picture.ts 'COMMAND' >FILE.svg");
  else process.stdout.write(terminal(command, await text(process.stdin)));
}
