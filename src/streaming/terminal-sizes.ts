import type { TerminalSize } from '../service/streaming.ts';

/** Longer than any size; what has no end by then is none. */
const MAX_TEXT = 1024;

/**
 * The sizes on a resize stream: JSON objects one after the other, `{"Width":80,"Height":24}`, cut anywhere. What is no
 * size is left out. Ends when the stream ends or breaks.
 */
export async function* terminalSizes(stream: AsyncIterable<Buffer>): AsyncGenerator<TerminalSize> {
  let text = '';
  try {
    for await (const bytes of stream) {
      text += bytes.toString('latin1');
      for (let end = text.indexOf('}'); end >= 0; end = text.indexOf('}')) {
        const size = sizeOf(text.slice(0, end + 1));
        text = text.slice(end + 1);
        if (size !== undefined) yield size;
      }
      if (text.length > MAX_TEXT) text = '';
    }
  } catch {
    // The client has gone: there are no more sizes.
  }
}

function sizeOf(json: string): TerminalSize | undefined {
  try {
    // Go reads the names whatever their case, so clients write them in any.
    const fields = Object.entries(JSON.parse(json) as object).map(([name, value]) => [
      name.toLowerCase(),
      value,
    ]);
    const { width, height } = Object.fromEntries(fields);
    return isSize(width) && isSize(height) ? { width, height } : undefined;
  } catch {
    return undefined;
  }
}

function isSize(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) > 0 && Number(value) <= 0xffff;
}
