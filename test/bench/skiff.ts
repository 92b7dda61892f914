import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Bout, type Contestant, startDaemon } from './contestant.ts';
import { writeNetwork } from './network.ts';

/** skiff as it is shipped: the bundle in dist/, with the limits of this host tolerated. */
export async function startSkiff(
  bout: Bout,
  program: string,
  options: { steps: boolean },
): Promise<Contestant> {
  const directory = join(bout.directory, 'sk');
  const confDir = await writeNetwork(join(directory, 'net.d'), {
    subnet: '10.90.0.0/16',
    bridge: 'bench-skiff',
  });
  const config = join(directory, 'config.toml');
  const state = join(bout.runDirectory, 'sk');
  await mkdir(directory, { recursive: true });
  await writeFile(
    config,
    `root = '${join(directory, 'lib')}'
state = '${state}'
cgroup_driver = 'cgroupfs'
tolerate_missing_controllers = true
[log]
level = '${options.steps ? 'debug' : 'warn'}'
[runtimes.runc]
path = '${bout.runc}'
[image.registries.'${bout.registry}']
plain_http = true
[cni]
conf_dir = '${confDir}'
bin_dirs = [${bout.cniBinDirs.map((dir) => `'${dir}'`).join(', ')}]
`,
  );
  const daemon = await startDaemon({
    name: 'skiff',
    directory,
    command: [program, 'serve', '--config', config],
    socket: join(state, 'skiff.sock'),
  });
  return { ...daemon, shim: 'skiff-shim', helpers: ['skiff-shim'] };
}
