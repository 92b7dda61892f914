import { posix } from 'node:path';
import { SkiffError } from '../base/errors.ts';
import type { SandboxRow } from '../sandbox/types.ts';
import { logPath } from './log-path.ts';
import { capabilityName } from './spec/capabilities.ts';
import { signalNumber } from './stop-signal.ts';
import type { ContainerConfig, Device, Mount } from './types.ts';

/**
 * Refuses a config that cannot become a container, before anything is made.
 * `invalid_argument` is a fault of the config, `unimplemented` a field that is
 * not served yet; both name the CRI field.
 */
export function validateContainer(config: ContainerConfig, sandbox: SandboxRow): void {
  require(config.metadata.name !== '', 'metadata.name', 'must be given');
  require(config.image.image !== '', 'image.image', 'must be given');
  refuseUnserved(config);
  checkProcess(config);
  config.mounts.forEach((mount, i) => {
    checkMount(mount, `mounts[${i}]`);
  });
  config.devices.forEach((device, i) => {
    checkDevice(device, `devices[${i}]`);
  });
  checkUser(config);
  checkOomScore(config);
  checkSecurity(config, sandbox);
  if (config.stopSignal !== '') signalNumber(config.stopSignal);
  logPath(sandbox.config.logDirectory, config.logPath);
}

/** The fields of CRI that skiff knows and does not serve yet. */
function refuseUnserved(config: ContainerConfig): void {
  const unserved = (set: boolean, field: string, what: string) => {
    if (set) throw new SkiffError('unimplemented', `${field}: ${what} are not served yet`);
  };
  unserved(config.cdiDevices.length > 0, 'CDI_devices', 'devices by the Container Device Interface');
  config.mounts.forEach((mount, i) => {
    unserved(mount.image !== null || mount.imageSubPath !== '', `mounts[${i}].image`, 'image volumes');
    unserved(
      mount.uidMappings.length > 0 || mount.gidMappings.length > 0,
      `mounts[${i}].uidMappings`,
      'id-mapped mounts',
    );
    unserved(mount.options.length > 0, `mounts[${i}].options`, 'mount options');
  });
  const userns = config.security.namespaces.userns;
  if (userns === null || userns.mode === 'node') return;
  const field = 'security_context.namespace_options.userns_options';
  require(userns.mode === 'pod', `${field}.mode`, 'must be POD or NODE');
  unserved(true, field, 'user namespaces');
}

function checkProcess(config: ContainerConfig): void {
  for (const [field, words] of Object.entries({ command: config.command, args: config.args }))
    require(!words.some(hasNul), field, 'holds a NUL byte');
  require(config.workingDir === '' ||
    isPath(config.workingDir), 'working_dir', `must be an absolute path, not ${config.workingDir}`);
  config.envs.forEach(({ key, value }, i) => {
    require(key !== '' &&
      !key.includes('=') &&
      !hasNul(key + value), `envs[${i}].key`, `"${key}" is not a variable name`);
  });
}

function checkMount(mount: Mount, place: string): void {
  require(mount.containerPath !== '', `${place}.container_path`, 'must be given');
  require(!hasNul(mount.containerPath), `${place}.container_path`, 'holds a NUL byte');
  require(posix.resolve('/', mount.containerPath) !== '/', `${place}.container_path`, 'must not be the root');
  require(isPath(
    mount.hostPath,
  ), `${place}.host_path`, `must be an absolute path, not ${JSON.stringify(mount.hostPath)}`);
}

function checkDevice(device: Device, place: string): void {
  require(isPath(device.hostPath), `${place}.host_path`, 'must be an absolute path');
  require(!hasNul(device.containerPath), `${place}.container_path`, 'holds a NUL byte');
  require(/^[rwm]*$/.test(
    device.permissions,
  ), `${place}.permissions`, `"${device.permissions}" holds something else than r, w and m`);
}

function checkUser({ security }: ContainerConfig): void {
  const given = security.runAsUser !== null || security.runAsUsername !== '';
  require(security.runAsGroup === null ||
    given, 'security_context.run_as_group', 'needs run_as_user or run_as_username');
}

/** The range of /proc/PID/oom_score_adj (proc(5)): the OCI runtime would fail at the start only. */
function checkOomScore({ resources }: ContainerConfig): void {
  const score = resources?.oomScoreAdj ?? 0;
  require(score >= -1000 &&
    score <= 1000, 'resources.oom_score_adj', `must be from -1000 to 1000, not ${score}`);
}

function checkSecurity({ security }: ContainerConfig, sandbox: SandboxRow): void {
  const place = 'security_context';
  require(!security.privileged ||
    sandbox.config.security.privileged, `${place}.privileged`, 'needs a privileged sandbox, this one is not');
  for (const name of [...(security.capabilities?.add ?? []), ...(security.capabilities?.drop ?? [])])
    capabilityName(name);
  const { pid, targetId } = security.namespaces;
  require(pid !== 'target' ||
    targetId !== '', `${place}.namespace_options.target_id`, 'must be given with pid TARGET');
  for (const [field, profile] of Object.entries({ seccomp: security.seccomp, apparmor: security.apparmor }))
    require(profile === null ||
      (profile.type === 'localhost') ===
        (profile.localhostRef !==
          ''), `${place}.${field}.localhost_ref`, 'must be given with a Localhost profile and only then');
}

function isPath(text: string): boolean {
  return posix.isAbsolute(text) && !hasNul(text);
}

function hasNul(text: string): boolean {
  return text.includes('\0');
}

function require(holds: boolean, field: string, otherwise: string): void {
  if (!holds) throw new SkiffError('invalid_argument', `${field} ${otherwise}`);
}
