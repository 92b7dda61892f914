import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Bout, type Contestant, startDaemon } from './contestant.ts';
import { writeNetwork } from './network.ts';

/**
 * containerd as a peer: the same runc and plugins; its cgroup handling off,
 * since this host's cgroup v2 has no controllers. Programs come from
 * scripts/tools.sh.
 */
export async function startContainerd(bout: Bout, program: string): Promise<Contestant> {
  const directory = join(bout.directory, 'ctd');
  const confDir = await writeNetwork(join(directory, 'net.d'), {
    subnet: '10.89.0.0/16',
    bridge: 'bench-ctd',
  });
  const state = join(bout.runDirectory, 'ctd');
  const socket = join(state, 'c.sock');
  const config = join(directory, 'config.toml');
  await mkdir(state, { recursive: true });
  await writeFile(config, configText(bout, { directory, state, confDir, socket }));
  const daemon = await startDaemon({
    name: 'containerd',
    directory,
    command: [program, '--config', config, '--log-level', 'error'],
    socket,
    env: { PATH: `${dirname(program)}:${process.env.PATH}` },
  });
  return { ...daemon, shim: 'containerd-shim', helpers: ['containerd-shim', 'pause'] };
}

function configText(
  bout: Bout,
  paths: { directory: string; state: string; confDir: string; socket: string },
): string {
  const cri = "plugins.'io.containerd.cri.v1";
  const disabled = ['nri.v1.nri', 'snapshotter.v1.btrfs', 'snapshotter.v1.zfs', 'tracing.processor.v1.otlp'];
  return `version = 3
root = '${paths.directory}/root'
state = '${paths.state}'
disabled_plugins = [${disabled.map((name) => `'io.containerd.${name}'`).join(', ')}]
[grpc]
  address = '${paths.socket}'
[${cri}.images']
  [${cri}.images'.pinned_images]
    sandbox = '${bout.registry}/pause:bench'
[${cri}.runtime']
  disable_cgroup = true
  restrict_oom_score_adj = true
  [${cri}.runtime'.cni]
    bin_dirs = [${bout.cniBinDirs.map((dir) => `'${dir}'`).join(', ')}]
    conf_dir = '${paths.confDir}'
  [${cri}.runtime'.containerd]
    default_runtime_name = 'runc'
    [${cri}.runtime'.containerd.runtimes.runc]
      runtime_type = 'io.containerd.runc.v2'
      [${cri}.runtime'.containerd.runtimes.runc.options]
        BinaryName = '${bout.runc}'
`;
}
