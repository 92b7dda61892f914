import type { RuntimeApi, RuntimeStatus } from '../../service/api.ts';
import type { RuntimeConfigResponse } from '../gen/runtime/v1/RuntimeConfigResponse.ts';
import type { StatusResponse } from '../gen/runtime/v1/StatusResponse.ts';
import type { VersionResponse } from '../gen/runtime/v1/VersionResponse.ts';

/** The version of the kubelet's own runtime interface, fixed since CRI began. */
const KUBELET_API_VERSION = '0.1.0';

export function versionResponse(version: ReturnType<RuntimeApi['version']>): VersionResponse {
  return {
    version: KUBELET_API_VERSION,
    runtime_name: version.runtimeName,
    runtime_version: version.runtimeVersion,
    runtime_api_version: 'v1',
  };
}

/** Each verbose fact under its own name: tools look for `config` and `cniconfig` there. */
export function statusResponse(status: RuntimeStatus): StatusResponse {
  const info = Object.entries(status.info ?? {}).map(([name, value]) => [name, JSON.stringify(value)]);
  return {
    status: { conditions: status.conditions },
    info: Object.fromEntries(info),
    runtime_handlers: status.handlers.map((handler) => ({
      name: handler.name,
      features: {
        recursive_read_only_mounts: handler.recursiveReadonlyMounts,
        user_namespaces: handler.userNamespaces,
      },
    })),
    features: { supplemental_groups_policy: status.supplementalGroupsPolicy },
  };
}

export function runtimeConfigResponse(
  config: ReturnType<RuntimeApi['runtimeConfig']>,
): RuntimeConfigResponse {
  return { linux: { cgroup_driver: config.cgroupDriver === 'cgroupfs' ? 'CGROUPFS' : 'SYSTEMD' } };
}
