/** Where programs are looked up unless the image or the container says otherwise. */
export const DEFAULT_PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * Lists of `KEY=value` as one: a later value replaces an earlier one in its
 * place, and an entry without `=` (an image may hold such) takes the key away.
 */
export function mergeEnv(...lists: readonly (readonly string[])[]): string[] {
  const merged = new Map<string, string>();
  for (const entry of lists.flat()) {
    const split = entry.indexOf('=');
    if (split < 0) merged.delete(entry);
    else merged.set(entry.slice(0, split), entry);
  }
  return [...merged.values()];
}

/**
 * The environment of a container's processes: what the runtime gives, then the
 * image's, then the container's own.
 */
export function containerEnv(options: {
  hostname: string;
  tty: boolean;
  image: readonly string[];
  config: readonly { key: string; value: string }[];
}): string[] {
  return mergeEnv(
    [DEFAULT_PATH, ...(options.tty ? ['TERM=xterm'] : []), `HOSTNAME=${options.hostname}`],
    options.image,
    options.config.map(({ key, value }) => `${key}=${value}`),
  );
}
