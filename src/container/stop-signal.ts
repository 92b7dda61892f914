import { constants } from 'node:os';
import { SkiffError } from '../base/errors.ts';

/** Real-time signals as runtimes count them: the two of the kernel's before them are libc's own. */
const RTMIN = 34;
const RTMAX = 64;

/**
 * The number of a signal by name or number: "SIGTERM", "term", "15",
 * "SIGRTMIN+3", "RTMAX-2", and CRI's own spelling "SIGRTMINPLUS3",
 * "SIGRTMAXMINUS2". Anything else is `invalid_argument`.
 */
export function signalNumber(text: string): number {
  const number = findSignal(text);
  if (number === undefined)
    throw new SkiffError(
      'invalid_argument',
      `stop signal ${text} is not a signal: see signal(7) for the names`,
    );
  return number;
}

/**
 * The signal that ends a container: the config's, else the image's, else
 * SIGTERM. An image with a name that is none also gets SIGTERM, because nobody
 * on the node can mend the image; a config with one is refused.
 */
export function stopSignalOf(config: { stopSignal: string }, image: { stopSignal: string }): string {
  if (config.stopSignal !== '') {
    signalNumber(config.stopSignal);
    return config.stopSignal;
  }
  return findSignal(image.stopSignal) === undefined ? 'SIGTERM' : image.stopSignal;
}

function findSignal(text: string): number | undefined {
  if (/^\d+$/.test(text)) {
    const number = Number(text);
    return number >= 1 && number <= RTMAX ? number : undefined;
  }
  const upper = text.toUpperCase();
  const name = upper.startsWith('SIG') ? upper : `SIG${upper}`;
  const plain = (constants.signals as Readonly<Record<string, number>>)[name];
  return plain ?? realTimeSignal(name);
}

function realTimeSignal(name: string): number | undefined {
  const match = /^SIGRT(MIN|MAX)(?:(\+|-|PLUS|MINUS)(\d+))?$/.exec(name);
  if (match === null) return undefined;
  const [, base, sign, digits] = match;
  const offset = Number(digits ?? 0) * (sign === '-' || sign === 'MINUS' ? -1 : 1);
  const number = (base === 'MIN' ? RTMIN : RTMAX) + offset;
  return number >= RTMIN && number <= RTMAX ? number : undefined;
}
