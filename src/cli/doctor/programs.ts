import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../../base/errors.ts';
import { findProgram } from '../../base/program.ts';
import { loadNetworks } from '../../os/cni/config.ts';
import { artefact } from '../../os/paths.ts';
import { probeProgram } from '../../os/probe.ts';
import { type Check, type CheckContext, type Finding, fail, ok, warn } from './finding.ts';

export const runtimes: Check = async ({ config }) =>
  Promise.all(
    Object.entries(config.runtimes).map(([name, { path }]) =>
      runtimeFinding(name, path, name === config.defaultRuntime),
    ),
  );

async function runtimeFinding(name: string, wanted: string, byDefault: boolean): Promise<Finding> {
  const subject = `runtime ${name}`;
  const path = await findProgram(wanted);
  if (path === undefined) {
    const message = `${wanted} is not installed`;
    return byDefault
      ? fail(
          subject,
          `${message}; it is the default_runtime`,
          `apt-get install ${name}, or set another default_runtime`,
        )
      : warn(
          subject,
          `${message}; pods that ask for the handler ${name} fail`,
          `apt-get install ${name} where it is wanted`,
        );
  }
  const version = await probeProgram(path, ['--version']);
  if (version.code !== 0) {
    return fail(subject, `${path} does not run: ${version.stderr.trim()}`, `install ${name} again`);
  }
  const features = await probeProgram(path, ['features']);
  const first = version.stdout.split('\n')[0]?.trim() ?? '';
  if (features.code === 0) return ok(subject, `${first} at ${path}`);
  return warn(
    subject,
    `${first} at ${path} cannot tell its features`,
    'install a newer one: recursive read-only mounts and id-mapped mounts are not offered with this one',
  );
}

export const networks: Check = async (context) => {
  const { confDir, maxConfNum } = context.config.cni;
  try {
    const found = await loadNetworks(confDir, maxConfNum);
    if (found.length === 0) {
      return warn(
        'CNI configuration',
        `${confDir} has none: only pods with the host's network run`,
        `install a network, or write a .conflist to ${confDir}; it takes effect at once`,
      );
    }
    const names = found.map(({ list, file }) => `${list.name} (${file})`).join(', ');
    const types = [...new Set(found.flatMap(({ list }) => list.plugins.map((plugin) => plugin.type)))];
    const plugins = await Promise.all(types.map((type) => pluginFinding(type, context)));
    return [ok('CNI configuration', names), ...plugins];
  } catch (cause) {
    return fail(
      'CNI configuration',
      messageOf(cause),
      `correct the file in ${confDir}; it takes effect at once`,
    );
  }
};

/** A plugin answers VERSION without touching anything (CNI spec, section 2). */
async function pluginFinding(type: string, { config }: CheckContext): Promise<Finding> {
  const subject = `CNI plugin ${type}`;
  const { binDirs } = config.cni;
  for (const directory of binDirs) {
    const path = join(directory, type);
    if ((await findProgram(path)) === undefined) continue;
    const env = { CNI_COMMAND: 'VERSION', CNI_PATH: binDirs.join(':') };
    const { code, stdout, stderr } = await probeProgram(path, [], { stdin: '{"cniVersion":"1.0.0"}', env });
    if (code !== 0)
      return fail(subject, `${path} does not run: ${stderr.trim() || stdout.trim()}`, 'install it again');
    return ok(subject, `${path}${supported(stdout)}`);
  }
  return fail(
    subject,
    `not in ${binDirs.join(', ')}`,
    'apt-get install containernetworking-plugins, or set cni.bin_dirs',
  );
}

function supported(reply: string): string {
  try {
    const { supportedVersions } = JSON.parse(reply) as { supportedVersions?: string[] };
    return `, up to CNI ${supportedVersions?.at(-1)}`;
  } catch {
    return '';
  }
}

export const nativeParts: Check = async () => {
  const missing: string[] = [];
  for (const name of ['skiff.node', 'skiff-shim'] as const) {
    await access(artefact(name)).catch(() => missing.push(artefact(name)));
  }
  if (missing.length > 0)
    return fail('native parts', `missing: ${missing.join(', ')}`, 'run scripts/build.sh');
  const shim = await probeProgram(artefact('skiff-shim'), ['--version']);
  if (shim.code === null)
    return fail('native parts', `skiff-shim does not run: ${shim.stderr}`, 'run scripts/build.sh');
  try {
    const { native } = await import('../../os/native.ts');
    native();
  } catch (cause) {
    return fail('native parts', `skiff.node does not load: ${messageOf(cause)}`, 'run scripts/build.sh');
  }
  return ok('native parts', `skiff.node and skiff-shim`);
};
