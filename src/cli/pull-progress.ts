import type { PullProgress } from '../image/types.ts';
import { bytes } from './output.ts';
import { PullPace } from './pull-pace.ts';

const REDRAW_MS = 100;
const BAR = 24;

/** What a display needs of stderr. */
export interface Screen {
  isTTY?: boolean;
  rows?: number;
  columns?: number;
  write(text: string): unknown;
}

/**
 * Shows how a pull goes: on a terminal one line per layer and one for all, redrawn in place;
 * elsewhere one line whenever a layer enters another phase.
 */
export class ProgressDisplay {
  readonly #screen: Screen;
  readonly #layers = new Map<string, PullProgress>();
  readonly #pace = new PullPace();
  #drawn = 0;
  #lastDraw = Number.NEGATIVE_INFINITY;

  constructor(screen: Screen) {
    this.#screen = screen;
  }

  show(event: PullProgress): void {
    const before = this.#layers.get(event.layer);
    this.#layers.set(event.layer, event);
    this.#pace.note(event, performance.now());
    if (this.#screen.isTTY) this.#draw(false);
    else if (before?.phase !== event.phase) this.#screen.write(`${plainLine(event)}\n`);
  }

  /** The last state stays on the screen. */
  end(): void {
    if (this.#screen.isTTY) this.#draw(true);
  }

  #draw(force: boolean): void {
    const now = performance.now();
    if (!force && now - this.#lastDraw < REDRAW_MS) return;
    this.#lastDraw = now;
    const layers = [...this.#layers.values()].filter((event) => event.layer !== '');
    // More lines than the terminal has could not be redrawn; what is done needs no line.
    const room = Math.max(1, (this.#screen.rows ?? 24) - 3);
    const shown =
      layers.length <= room ? layers : layers.filter((event) => event.phase === 'fetching').slice(0, room);
    const width = Math.max(20, (this.#screen.columns ?? 80) - 1);
    const pace = this.#pace.describe(now);
    const texts = [...shown.map(barLine), ...(pace === '' ? [] : [pace])];
    const lines = texts.map((text) => `\x1b[2K${text.slice(0, width)}\n`);
    const up = this.#drawn > 0 ? `\x1b[${this.#drawn}A` : '';
    this.#screen.write(`${up}${lines.join('')}\x1b[0J`);
    this.#drawn = lines.length;
  }
}

function plainLine(event: PullProgress): string {
  const size = event.total > 0 ? ` (${bytes(event.total)})` : '';
  const subject = event.layer === '' ? event.image : layerName(event.layer);
  return `${subject}: ${event.phase}${size}`;
}

function barLine(event: PullProgress): string {
  const head = `${layerName(event.layer)}  ${event.phase.padEnd(9)}`;
  if (event.phase !== 'fetching' || event.total <= 0) return head.trimEnd();
  const share = Math.min(1, event.current / event.total);
  const full = Math.round(share * BAR);
  return `${head} [${'='.repeat(full)}${' '.repeat(BAR - full)}] ${bytes(event.current)} / ${bytes(event.total)}`;
}

function layerName(digest: string): string {
  return digest.replace(/^sha256:/, '').slice(0, 12);
}
