import { SkiffError } from '../../base/errors.ts';
import type { Capabilities, ContainerSecurity } from '../../container/types.ts';
import type {
  IdMapping,
  NamespaceMode,
  NamespaceOptions,
  ProfileType,
  SandboxSecurity,
  SecurityProfile,
  SelinuxOptions,
} from '../../sandbox/types.ts';
import type { Capability__Output } from '../gen/runtime/v1/Capability.ts';
import type { IDMapping, IDMapping__Output } from '../gen/runtime/v1/IDMapping.ts';
import type { LinuxContainerSecurityContext__Output } from '../gen/runtime/v1/LinuxContainerSecurityContext.ts';
import type { LinuxSandboxSecurityContext__Output } from '../gen/runtime/v1/LinuxSandboxSecurityContext.ts';
import type { NamespaceMode as NamespaceModeMessage } from '../gen/runtime/v1/NamespaceMode.ts';
import type { NamespaceOption, NamespaceOption__Output } from '../gen/runtime/v1/NamespaceOption.ts';
import type { SELinuxOption__Output } from '../gen/runtime/v1/SELinuxOption.ts';
import type { SecurityProfile__Output } from '../gen/runtime/v1/SecurityProfile.ts';
import { fromEnum, integer, wrapped } from './fields.ts';

const MODES: Record<string, NamespaceMode> = {
  POD: 'pod',
  CONTAINER: 'container',
  NODE: 'node',
  TARGET: 'target',
};

const MODE_MESSAGES: Record<NamespaceMode, NamespaceModeMessage> = {
  pod: 'POD',
  container: 'CONTAINER',
  node: 'NODE',
  target: 'TARGET',
};

const PROFILES: Record<string, ProfileType> = {
  RuntimeDefault: 'runtime_default',
  Unconfined: 'unconfined',
  Localhost: 'localhost',
};

const POLICIES: Record<string, 'merge' | 'strict'> = { Merge: 'merge', Strict: 'strict' };

/** Whose namespaces; an absent message is one whose fields are all zero: the pod's. */
export function namespaceOptions(message: NamespaceOption__Output | null): NamespaceOptions {
  const userns = message?.userns_options ?? null;
  return {
    network: fromEnum(MODES, message?.network ?? 'POD', 'pod'),
    pid: fromEnum(MODES, message?.pid ?? 'POD', 'pod'),
    ipc: fromEnum(MODES, message?.ipc ?? 'POD', 'pod'),
    targetId: message?.target_id ?? '',
    userns: userns && {
      mode: fromEnum(MODES, userns.mode, 'pod'),
      uids: userns.uids.map(idMapping),
      gids: userns.gids.map(idMapping),
    },
  };
}

/** The message that a status echoes. */
export function namespaceMessage(options: NamespaceOptions): NamespaceOption {
  return {
    network: MODE_MESSAGES[options.network],
    pid: MODE_MESSAGES[options.pid],
    ipc: MODE_MESSAGES[options.ipc],
    target_id: options.targetId,
    userns_options: options.userns && {
      mode: MODE_MESSAGES[options.userns.mode],
      uids: options.userns.uids.map(idMappingMessage),
      gids: options.userns.gids.map(idMappingMessage),
    },
  };
}

export function idMapping(message: IDMapping__Output): IdMapping {
  return { hostId: message.host_id, containerId: message.container_id, length: message.length };
}

export function idMappingMessage(mapping: IdMapping): IDMapping {
  return { host_id: mapping.hostId, container_id: mapping.containerId, length: mapping.length };
}

/** Security of the sandbox itself; an absent message asks for nothing. */
export function sandboxSecurity(
  message: LinuxSandboxSecurityContext__Output | null,
  path: string,
): SandboxSecurity {
  return {
    namespaces: namespaceOptions(message?.namespace_options ?? null),
    selinux: selinux(message?.selinux_options ?? null),
    runAsUser: wrapped(message?.run_as_user ?? null),
    runAsGroup: wrapped(message?.run_as_group ?? null),
    readonlyRootfs: message?.readonly_rootfs ?? false,
    supplementalGroups: message?.supplemental_groups.map(integer) ?? [],
    supplementalGroupsPolicy: fromEnum(POLICIES, message?.supplemental_groups_policy ?? 'Merge', 'merge'),
    privileged: message?.privileged ?? false,
    seccomp: profile(
      message?.seccomp ?? null,
      message?.seccomp_profile_path ?? '',
      `${path}.seccomp_profile_path`,
    ),
    apparmor: profile(message?.apparmor ?? null, '', `${path}.apparmor`),
  };
}

/** Security of one container; an absent message asks for nothing. */
export function containerSecurity(
  message: LinuxContainerSecurityContext__Output | null,
  path: string,
): ContainerSecurity {
  return {
    capabilities: capabilities(message?.capabilities ?? null),
    privileged: message?.privileged ?? false,
    namespaces: namespaceOptions(message?.namespace_options ?? null),
    selinux: selinux(message?.selinux_options ?? null),
    runAsUser: wrapped(message?.run_as_user ?? null),
    runAsGroup: wrapped(message?.run_as_group ?? null),
    runAsUsername: message?.run_as_username ?? '',
    readonlyRootfs: message?.readonly_rootfs ?? false,
    supplementalGroups: message?.supplemental_groups.map(integer) ?? [],
    supplementalGroupsPolicy: fromEnum(POLICIES, message?.supplemental_groups_policy ?? 'Merge', 'merge'),
    noNewPrivs: message?.no_new_privs ?? false,
    maskedPaths: message?.masked_paths ?? [],
    readonlyPaths: message?.readonly_paths ?? [],
    seccomp: profile(
      message?.seccomp ?? null,
      message?.seccomp_profile_path ?? '',
      `${path}.seccomp_profile_path`,
    ),
    apparmor: profile(message?.apparmor ?? null, message?.apparmor_profile ?? '', `${path}.apparmor_profile`),
  };
}

function capabilities(message: Capability__Output | null): Capabilities | null {
  return (
    message && {
      add: message.add_capabilities,
      drop: message.drop_capabilities,
      addAmbient: message.add_ambient_capabilities,
    }
  );
}

function selinux(message: SELinuxOption__Output | null): SelinuxOptions | null {
  return message && { user: message.user, role: message.role, type: message.type, level: message.level };
}

/** The profile of the message, else of the deprecated string field that stood for it before. */
function profile(
  message: SecurityProfile__Output | null,
  deprecated: string,
  deprecatedField: string,
): SecurityProfile | null {
  if (message === null) return deprecated === '' ? null : deprecatedProfile(deprecated, deprecatedField);
  const type = fromEnum(PROFILES, message.profile_type, 'runtime_default');
  return { type, localhostRef: type === 'localhost' ? message.localhost_ref : '' };
}

function deprecatedProfile(text: string, field: string): SecurityProfile {
  if (text === 'runtime/default' || text === 'docker/default')
    return { type: 'runtime_default', localhostRef: '' };
  if (text === 'unconfined') return { type: 'unconfined', localhostRef: '' };
  if (text.startsWith('localhost/'))
    return { type: 'localhost', localhostRef: text.slice('localhost/'.length) };
  throw new SkiffError(
    'invalid_argument',
    `check request: ${field} is ${JSON.stringify(text)}; give runtime/default, unconfined or localhost/NAME`,
  );
}
