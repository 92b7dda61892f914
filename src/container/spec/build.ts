import type { Spec } from '../../oci/runtime-spec.ts';
import { devicesChapter } from './devices.ts';
import type { SpecInput } from './input.ts';
import { mountsChapter, rootfsPropagation } from './mounts.ts';
import { namespacesChapter } from './namespaces.ts';
import { processChapter } from './process.ts';
import { oomScoreAdj, toOciResources } from './resources.ts';
import { securityChapter } from './security.ts';

/** What runc 1.1 and crun 1.8 already speak; newer options are used only where `features` tells them. */
const OCI_VERSION = '1.0.2';

export interface BuiltSpec {
  spec: Spec;
  /** What this host could not give and was left out, a sentence each, for the log. */
  warnings: string[];
}

/**
 * The OCI spec of a container. Reads /dev and a localhost seccomp profile,
 * changes nothing. `spec.hostname` stays unset: the name belongs to the pod's
 * UTS namespace, which the container joins.
 */
export async function buildSpec(input: SpecInput): Promise<BuiltSpec> {
  const { config } = input;
  const limits = toOciResources(config.resources, input.host, input);
  const oom = oomScoreAdj(config.resources, input.host, input);
  const [security, devices] = await Promise.all([securityChapter(input), devicesChapter(input)]);
  const propagation = rootfsPropagation(config.mounts);
  const spec: Spec = {
    ociVersion: OCI_VERSION,
    root: { path: input.rootfs, readonly: config.security.readonlyRootfs },
    process: { ...processChapter(input), ...security.process, oomScoreAdj: oom.value },
    mounts: mountsChapter(input),
    annotations: annotationsOf(input),
    linux: {
      namespaces: namespacesChapter(input),
      devices: devices.devices,
      cgroupsPath: input.cgroupsPath,
      resources: { ...limits.resources, devices: devices.rules },
      ...security.linux,
      ...(propagation === undefined ? {} : { rootfsPropagation: propagation }),
    },
  };
  return { spec, warnings: [...limits.warnings, ...devices.warnings, ...oom.warnings] };
}

/** Names by which OCI runtimes, hooks and node agents recognise a Kubernetes container, as the peers write them. */
function annotationsOf({ sandbox, config }: SpecInput): Record<string, string> {
  const { name, namespace, uid } = sandbox.config.metadata;
  const prefix = 'io.kubernetes.cri.';
  return {
    [`${prefix}container-type`]: 'container',
    [`${prefix}container-name`]: config.metadata.name,
    [`${prefix}image-name`]: config.image.userSpecifiedImage || config.image.image,
    [`${prefix}sandbox-id`]: sandbox.id,
    [`${prefix}sandbox-name`]: name,
    [`${prefix}sandbox-namespace`]: namespace,
    [`${prefix}sandbox-uid`]: uid,
    // crun would put the container into a cgroup of its own below the systemd scope; one is enough, as with runc.
    'run.oci.systemd.subgroup': '',
  };
}
