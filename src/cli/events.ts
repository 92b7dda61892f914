import type { JournalRow } from '../base/state-protocol.ts';
import type { Daemon } from './daemon.ts';
import { findTarget, inventory } from './names.ts';
import { errorOf } from './ops-client.ts';
import { colour, print, shortId } from './output.ts';

/** `skiff events [SUBJECT]`: what happened, from the journal; with -f also what happens from now on. */
export async function events(
  daemon: Daemon,
  subject: string,
  options: { follow: boolean; since: string; json: boolean },
): Promise<void> {
  const query = new URLSearchParams({ subject: await idOf(daemon, subject) });
  if (options.since !== '') query.set('since', options.since);
  if (options.follow) query.set('follow', '1');
  for await (const line of daemon.ops().lines('GET', `/journal?${query}`)) {
    const row = line as JournalRow & { error?: string };
    if (row.error !== undefined) throw errorOf(row);
    print(options.json ? JSON.stringify(row) : text(row));
  }
}

/** The id of the pod or container of that name; ids, their beginnings and names of images stay as they are. */
async function idOf(daemon: Daemon, subject: string): Promise<string> {
  if (subject === '' || /^[0-9a-f]+$|[:@]/.test(subject)) return subject;
  return daemon.withCri(async (cri) => {
    const target = findTarget(await inventory(cri), subject);
    return target.kind === 'pod' ? target.pod.id : target.container.id;
  });
}

function text({ at, subject, what, detail }: JournalRow): string {
  const time = new Date(Number(BigInt(at) / 1_000_000n)).toISOString();
  const facts = detail === undefined ? '' : `  ${JSON.stringify(detail)}`;
  // An image is named by its reference, all else by an id.
  const short = /^[0-9a-f]{64}$/.test(subject) ? shortId(subject) : subject;
  return `${colour('gray', time)}  ${short}  ${what}${facts}`;
}
