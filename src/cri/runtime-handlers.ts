import type { RuntimeApi } from '../service/api.ts';
import type { Calls } from './call.ts';
import type { RuntimeServiceHandlers } from './gen/runtime/v1/RuntimeService.ts';
import { containerEvent } from './translate/events.ts';
import { runtimeConfigResponse, statusResponse, versionResponse } from './translate/status.ts';

/** The RPCs about the runtime as a whole. */
export function runtimeHandlers(api: RuntimeApi, calls: Calls) {
  return {
    Version: calls.unary('Version', () => versionResponse(api.version())),
    Status: calls.unary('Status', async (_, request) => statusResponse(await api.status(request.verbose))),
    RuntimeConfig: calls.unary('RuntimeConfig', () => runtimeConfigResponse(api.runtimeConfig())),
    UpdateRuntimeConfig: calls.unary('UpdateRuntimeConfig', async (_, request) => {
      await api.updateRuntimeConfig(request.runtime_config?.network_config?.pod_cidr ?? '');
      return {};
    }),
    GetContainerEvents: calls.serverStream('GetContainerEvents', async function* ({ signal }) {
      for await (const event of api.containerEvents(signal)) yield containerEvent(event);
    }),
  } satisfies Partial<RuntimeServiceHandlers>;
}
