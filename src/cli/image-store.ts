import { resolve } from 'node:path';
import type { CheckEvent } from '../image/check.ts';
import type { PullProgress } from '../image/types.ts';
import type { ImageStoreUsage } from '../service/api.ts';
import type { Daemon } from './daemon.ts';
import { errorOf } from './ops-client.ts';
import { bytes, note, print, printJson, shortId, table } from './output.ts';
import { ProgressDisplay } from './pull-progress.ts';

export interface ExportOptions {
  output: string;
  directory: boolean;
  compress: string;
}

/** `skiff images export`: names in, a file or directory out. */
export async function exportImages(daemon: Daemon, images: string[], options: ExportOptions): Promise<void> {
  const form = options.directory ? 'directory' : 'archive';
  const path = resolve(options.output);
  await daemon.ops().post('/images/export', { images, path, form, packing: options.compress });
  print(path);
}

/** `skiff images import`: prints the ids; progress on stderr. */
export async function importImages(daemon: Daemon, path: string, options: { name: string }): Promise<void> {
  const display = new ProgressDisplay(process.stderr);
  const body = { path: resolve(path), name: options.name };
  try {
    for await (const line of daemon.ops().lines('POST', '/images/import', body)) {
      const { progress, ids } = line as { progress?: PullProgress; ids?: string[] };
      if (progress !== undefined) display.show(progress);
      else if (ids === undefined) throw errorOf(line);
      else {
        for (const id of ids) print(id);
        return;
      }
    }
  } finally {
    display.end();
  }
  throw errorOf({ error: `import ${path}: the daemon ended before that`, code: 'unavailable' });
}

/** `skiff images check`: 0 where all is as it was pulled or has been fetched again, 1 where something is damaged. */
export async function checkImages(
  daemon: Daemon,
  options: { repair: boolean; json: boolean },
): Promise<number> {
  let looked = 0;
  let damaged = 0;
  let unrepaired = 0;
  for await (const line of daemon.ops().lines('POST', '/images/check', { repair: options.repair })) {
    if ('error' in (line as object)) throw errorOf(line);
    const event = line as CheckEvent;
    if (options.json) print(JSON.stringify(event));
    const bad = event.problem !== '';
    if (event.kind === 'repair') unrepaired += bad ? 1 : 0;
    else {
      looked += 1;
      damaged += bad ? 1 : 0;
    }
    if (!options.json && (bad || event.kind === 'repair')) print(textOf(event));
  }
  note(`${looked} parts looked at, ${damaged} damaged`);
  const left = options.repair ? unrepaired : damaged;
  if (left > 0 && !options.repair) note('"skiff images check --repair" fetches what is damaged again');
  return left > 0 ? 1 : 0;
}

/** `skiff images du`: images, then the layers, with who holds them. */
export async function imagesUsage(daemon: Daemon, options: { json: boolean }): Promise<void> {
  const usage = (await daemon.ops().get('/images/usage')) as ImageStoreUsage;
  if (options.json) return printJson(usage);
  const { images, layers, documents, total } = usage;
  print(
    table(
      ['IMAGE', 'ID', 'SIZE', 'FREED BY ITS REMOVAL'],
      images.map((image) => [image.name, shortId(image.id), bytes(image.bytes), bytes(image.ownBytes)]),
    ),
  );
  print('');
  print(
    table(
      ['LAYER', 'SIZE', 'INODES', 'IMAGES', 'CONTAINERS'],
      layers.map((layer) => [
        shortId(layer.id),
        bytes(layer.bytes),
        String(layer.inodes),
        layer.images.join(', ') || '-',
        layer.containers.map(shortId).join(', ') || '-',
      ]),
    ),
  );
  print('');
  print(`${documents.count} documents: ${bytes(documents.bytes)}`);
  print(`in all: ${bytes(total.bytes)}, ${total.inodes} inodes`);
}

function textOf({ kind, id, images, problem }: CheckEvent): string {
  const of = images.length === 0 ? '' : ` of ${images.join(', ')}`;
  if (kind === 'repair')
    return `${images.join(', ')}: ${problem === '' ? 'fetched again' : `lost: ${problem}`}`;
  return `${kind} ${id}${of}: ${problem}`;
}
