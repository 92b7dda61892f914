import type { ImageRunConfig } from '../../image/types.ts';
import type { RuntimeFeatures } from '../../oci/runtime-spec.ts';
import type { HostFacts } from '../../os/host-facts.ts';
import type { SandboxRow } from '../../sandbox/types.ts';
import type { ContainerConfig, ContainerUser } from '../types.ts';

/** Files of the sandbox that its containers see; '' = not mounted. */
export interface SandboxFiles {
  resolvConf: string;
  hosts: string;
  hostname: string;
  shm: string;
}

/** All that the OCI spec of one container depends on. */
export interface SpecInput {
  id: string;
  /** With mounts as `resolveMounts` gives them, image volumes among them. */
  config: ContainerConfig;
  sandbox: SandboxRow;
  image: ImageRunConfig;
  user: ContainerUser;
  /** Absolute path of the mounted root file system. */
  rootfs: string;
  sandboxFiles: SandboxFiles;
  /** `linux.cgroupsPath` in the form of the cgroup driver. */
  cgroupsPath: string;
  host: HostFacts;
  features: RuntimeFeatures;
  /** Profile of a container that names none: '', 'unconfined', 'runtime/default' or 'localhost/<path>'. */
  unsetSeccompProfile: string;
  /** Leave out limits whose controller is missing, with a warning, instead of refusing the container. */
  tolerateMissingControllers: boolean;
  /** Init of the container whose PID namespace is joined; null unless the pid mode is `target`. */
  targetPid: number | null;
}
