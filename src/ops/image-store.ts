import { isAbsolute } from 'node:path';
import * as v from 'valibot';
import { SkiffError } from '../base/errors.ts';
import type { PullProgress } from '../image/types.ts';
import type { OpsApi } from './api.ts';
import { type Call, readJson, sendJson, sendLines } from './http.ts';
import { Mailbox } from './mailbox.ts';

const path = v.pipe(v.string('a path'), v.check(isAbsolute, 'an absolute path'));
const importBody = v.strictObject(
  { path, name: v.optional(v.string('a name'), '') },
  'an object with "path"',
);
const exportBody = v.strictObject(
  {
    path,
    images: v.pipe(v.array(v.string('an image')), v.minLength(1, 'at least one image')),
    form: v.optional(v.picklist(['directory', 'archive'], '"directory" or "archive"'), 'archive'),
    packing: v.optional(v.picklist(['gzip', 'zstd', 'none'], '"gzip", "zstd" or "none"'), 'gzip'),
  },
  'an object with "path" and "images"',
);
const checkBody = v.strictObject({ repair: v.optional(v.boolean('true or false'), false) }, 'an object');

/** `GET /images/usage`: see ImageStoreUsage. */
export function imagesUsage({ response }: Call, api: OpsApi): void {
  sendJson(response, 200, api.imageStore.usage());
}

/** `POST /images/check { repair? }`: a line per part that was looked at (see CheckEvent). */
export async function checkImages(call: Call, api: OpsApi): Promise<void> {
  const options = checked(checkBody, await readJson(call.request), 'check images');
  await sendLines(call, api.imageStore.check({ signal: call.signal }, options));
}

/** `POST /images/export { images, path, form?, packing? }`: `{}` when the path is whole. */
export async function exportImages(call: Call, api: OpsApi): Promise<void> {
  const options = checked(exportBody, await readJson(call.request), 'export images');
  await api.imageStore.export({ signal: call.signal }, options);
  sendJson(call.response, 200, {});
}

/** `POST /images/import { path, name? }`: `{ progress }` lines, then `{ ids }` or `{ error, code }`. */
export async function importImages(call: Call, api: OpsApi): Promise<void> {
  const options = checked(importBody, await readJson(call.request), 'import images');
  await sendLines(call, imported(api, options, call.signal));
}

async function* imported(api: OpsApi, options: { path: string; name: string }, signal: AbortSignal) {
  const events = new Mailbox<PullProgress>({ key: (event) => event.image + event.layer, limit: 10_000 });
  const ids = api.imageStore.import({ signal }, options, (event) => events.put(event));
  // The error is told by the await below; here only the end counts.
  ids.catch(() => {}).finally(() => events.close());
  for await (const progress of events) yield { progress };
  yield { ids: await ids };
}

function checked<S extends v.GenericSchema>(schema: S, value: unknown, action: string): v.InferOutput<S> {
  const { success, output, issues } = v.safeParse(schema, value);
  if (success) return output;
  const at = v.getDotPath(issues[0]) ?? '';
  const what =
    issues[0].expected === 'never'
      ? `unknown field ${at}`
      : `${at === '' ? '' : `${at}: `}expected ${issues[0].message}`;
  throw new SkiffError('invalid_argument', `${action}: ${what}`);
}
