import { SkiffError } from '../../base/errors.ts';
import type { Linux, Process, Seccomp } from '../../oci/runtime-spec.ts';
import type { SecurityProfile } from '../../sandbox/types.ts';
import { capabilitiesOfMask, capabilitySets, containerCapabilities } from './capabilities.ts';
import type { SpecInput } from './input.ts';
import { defaultSeccompProfile } from './seccomp.ts';
import { loadSeccompProfile } from './seccomp-file.ts';

type Input = Pick<SpecInput, 'config' | 'host' | 'unsetSeccompProfile'>;

/** What a container may do: its parts of `process` and of `linux`. */
export interface SecurityChapter {
  process: Pick<Process, 'capabilities' | 'noNewPrivileges' | 'apparmorProfile'>;
  linux: Pick<Linux, 'seccomp' | 'maskedPaths' | 'readonlyPaths'>;
}

/**
 * A privileged container holds all capabilities of the host and has neither
 * seccomp profile nor hidden or read-only paths; for others all is as CRI sent it.
 * An AppArmor profile that is named holds for both, as with containerd.
 */
export async function securityChapter(input: Input): Promise<SecurityChapter> {
  const { security } = input.config;
  refuseSelinux(input);
  const held = containerCapabilities(
    security.capabilities,
    security.privileged,
    capabilitiesOfMask(input.host.capabilityMask),
  );
  const apparmorProfile = apparmor(security.apparmor, input.host);
  const seccomp = await seccompProfile(input, held);
  return {
    process: {
      capabilities: capabilitySets(held),
      noNewPrivileges: security.noNewPrivs,
      ...(apparmorProfile === '' ? {} : { apparmorProfile }),
    },
    linux: {
      ...(seccomp === undefined ? {} : { seccomp }),
      maskedPaths: security.privileged ? [] : [...security.maskedPaths],
      readonlyPaths: security.privileged ? [] : [...security.readonlyPaths],
    },
  };
}

async function seccompProfile(input: Input, capabilities: string[]): Promise<Seccomp | undefined> {
  const { seccomp, privileged } = input.config.security;
  const profile = seccomp ?? unsetProfile(input.unsetSeccompProfile);
  if (privileged || profile === null || profile.type === 'unconfined') return undefined;
  if (!input.host.seccomp)
    throw new SkiffError(
      'failed_precondition',
      'apply seccomp profile: this kernel has no CONFIG_SECCOMP_FILTER; ask for Unconfined',
    );
  if (profile.type === 'localhost')
    return loadSeccompProfile(profile.localhostRef.replace(/^localhost\//, ''), { capabilities });
  return defaultSeccompProfile(capabilities);
}

/** The `unset_seccomp_profile` setting as a profile; '' and "unconfined" are none. */
function unsetProfile(setting: string): SecurityProfile | null {
  if (setting === '' || setting === 'unconfined') return null;
  if (setting === 'runtime/default') return { type: 'runtime_default', localhostRef: '' };
  if (setting.startsWith('localhost/')) return { type: 'localhost', localhostRef: setting };
  throw new SkiffError(
    'failed_precondition',
    `unset_seccomp_profile is "${setting}": set it to "", "unconfined", "runtime/default" or "localhost/<path>"`,
  );
}

/**
 * The AppArmor profile to enter, '' for none. The runtime's default asks for
 * what the host has, so without AppArmor it is nothing; a profile by name is a
 * promise that such a host cannot keep.
 */
function apparmor(profile: SecurityProfile | null, host: Input['host']): string {
  if (profile?.type !== 'localhost') return '';
  if (!host.apparmor)
    throw new SkiffError(
      'failed_precondition',
      `apply AppArmor profile ${profile.localhostRef}: AppArmor is not enabled in this kernel`,
    );
  return profile.localhostRef.replace(/^localhost\//, '');
}

/** Labels mean nothing to a kernel without SELinux; where it is on, running unlabelled would break the promise. */
function refuseSelinux(input: Input): void {
  const options = input.config.security.selinux;
  if (!input.host.selinux || options === null || Object.values(options).every((value) => value === ''))
    return;
  throw new SkiffError('unimplemented', 'selinux_options are not served yet: remove them from the container');
}
