import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { SkiffError } from '../../base/errors.ts';
import { makeDirectory, writeFileAtomic } from '../../base/files.ts';
import { loadNetworks, parseConflist } from './config.ts';

const FILE_NAME = '10-skiff.conflist';

/**
 * Writes a network configuration from `templateFile` for the node's pod CIDRs,
 * unless `confDir` has one already. In the template `{{.PodCIDR}}` stands for
 * the first CIDR, `{{.PodCIDRRanges}}` for host-local's `ranges` of all of
 * them and `{{.Routes}}` for a default route of each family, both as JSON.
 * Returns the file that was written, or null.
 */
export async function writeFromTemplate(
  confDir: string,
  templateFile: string,
  podCidrs: string[],
): Promise<string | null> {
  const action = `render CNI template ${templateFile}`;
  for (const cidr of podCidrs)
    if (!isCidr(cidr)) throw new SkiffError('invalid_argument', `${action}: "${cidr}" is not a CIDR`);
  if (podCidrs.length === 0 || (await hasConfiguration(confDir))) return null;
  try {
    const text = renderTemplate(await readFile(templateFile, 'utf8'), podCidrs);
    parseConflist(text);
    await makeDirectory(confDir, 0o755);
    const file = join(confDir, FILE_NAME);
    await writeFileAtomic(file, text, { mode: 0o644, durable: true });
    return file;
  } catch (cause) {
    throw SkiffError.from(cause, action, 'failed_precondition');
  }
}

/** The template with its three fields filled in; any other `{{ }}` is an error. */
export function renderTemplate(template: string, podCidrs: string[]): string {
  const fields: Record<string, string> = {
    PodCIDR: podCidrs[0] ?? '',
    PodCIDRRanges: JSON.stringify(podCidrs.map((subnet) => [{ subnet }])),
    Routes: JSON.stringify(podCidrs.map((cidr) => ({ dst: cidr.includes(':') ? '::/0' : '0.0.0.0/0' }))),
  };
  return template.replace(/\{\{(.*?)\}\}/gs, (whole, inner: string) => {
    const value = fields[inner.trim().replace(/^\./, '')];
    if (value !== undefined) return value;
    throw new SkiffError(
      'failed_precondition',
      `unknown field ${whole}: use {{.PodCIDR}}, {{.PodCIDRRanges}} or {{.Routes}}`,
    );
  });
}

/** A broken file counts too: it is somebody's, and writing another beside it would hide it. */
async function hasConfiguration(confDir: string): Promise<boolean> {
  return loadNetworks(confDir, 1).then(
    (networks) => networks.length > 0,
    () => true,
  );
}

function isCidr(text: string): boolean {
  const [address = '', prefix = ''] = text.split('/');
  const family = isIP(address);
  return family !== 0 && /^\d+$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128);
}
