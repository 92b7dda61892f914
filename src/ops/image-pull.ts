import * as v from 'valibot';
import { SkiffError } from '../base/errors.ts';
import type { AuthConfig, PullProgress } from '../image/types.ts';
import type { OpsApi } from './api.ts';
import { type Call, readJson, sendLines } from './http.ts';
import { Mailbox } from './mailbox.ts';

const credential = v.optional(v.string('a text'), '');

const body = v.strictObject(
  {
    image: v.pipe(v.string('an image reference'), v.nonEmpty('an image reference')),
    auth: v.optional(
      v.strictObject({
        username: credential,
        password: credential,
        auth: credential,
        serverAddress: credential,
        identityToken: credential,
        registryToken: credential,
      }),
    ),
  },
  'an object with "image" and perhaps "auth"',
);

/**
 * `POST /images/pull { image, auth? }`: a stream of `{ progress }` lines (see
 * PullProgress), then `{ id }` or `{ error, code }`.
 */
export async function pullImage(call: Call, api: OpsApi): Promise<void> {
  const { image, auth } = checked(await readJson(call.request));
  await sendLines(call, pull(api, image, auth ?? null, call.signal));
}

async function* pull(api: OpsApi, image: string, auth: AuthConfig | null, signal: AbortSignal) {
  const events = new Mailbox<PullProgress>({ key: (event) => event.layer, limit: 10_000 });
  const pulled = api.images.pullImage({ signal }, image, auth, (event) => events.put(event));
  // The error is told by the await below; here only the end counts.
  pulled.catch(() => {}).finally(() => events.close());
  for await (const progress of events) yield { progress };
  yield { id: await pulled };
}

function checked(value: unknown): { image: string; auth?: AuthConfig } {
  const { success, output, issues } = v.safeParse(body, value);
  if (success) return output;
  const issue = issues[0];
  // Never the value itself: it may be a password.
  const at = v.getDotPath(issue);
  throw new SkiffError(
    'invalid_argument',
    issue.expected === 'never'
      ? `pull image: unknown field ${at}`
      : `pull image: ${at === null ? '' : `${at}: `}expected ${issue.message}`,
  );
}
