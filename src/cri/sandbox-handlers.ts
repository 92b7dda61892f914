import type { SandboxRow } from '../sandbox/types.ts';
import type { RuntimeApi } from '../service/api.ts';
import type { Calls } from './call.ts';
import { EncodedList } from './encoded-list.ts';
import type { ListPodSandboxRequest__Output } from './gen/runtime/v1/ListPodSandboxRequest.ts';
import type { RuntimeServiceHandlers } from './gen/runtime/v1/RuntimeService.ts';
import { message } from './proto.ts';
import { required } from './translate/fields.ts';
import { sandboxFilter } from './translate/filters.ts';
import { sandboxConfig } from './translate/sandbox-config.ts';
import { sandboxMessage, sandboxStatusResponse } from './translate/sandbox-status.ts';
import { sandboxStats } from './translate/stats.ts';

/** The RPCs about pod sandboxes. */
export function sandboxHandlers(api: RuntimeApi, calls: Calls) {
  const list = new EncodedList<SandboxRow>((row) => message('PodSandbox').serialize(sandboxMessage(row)));
  return {
    RunPodSandbox: calls.unary('RunPodSandbox', async (context, request) => ({
      pod_sandbox_id: await api.runPodSandbox(
        context,
        sandboxConfig(request.config),
        request.runtime_handler,
      ),
    })),
    StopPodSandbox: calls.unary('StopPodSandbox', async (context, request) => {
      await api.stopPodSandbox(context, required(request.pod_sandbox_id, 'pod_sandbox_id'));
      return {};
    }),
    RemovePodSandbox: calls.unary('RemovePodSandbox', async (context, request) => {
      await api.removePodSandbox(context, required(request.pod_sandbox_id, 'pod_sandbox_id'));
      return {};
    }),
    PodSandboxStatus: calls.unary('PodSandboxStatus', async (_, request) => {
      const id = required(request.pod_sandbox_id, 'pod_sandbox_id');
      return sandboxStatusResponse(await api.podSandboxStatus(id, request.verbose));
    }),
    /** Answers bytes: see `listsAsBytes` in server.ts. */
    ListPodSandbox: calls.unary('ListPodSandbox', (_, request: ListPodSandboxRequest__Output) =>
      list.join(api.listPodSandbox(sandboxFilter(request.filter))),
    ),
    PodSandboxStats: calls.unary('PodSandboxStats', async (_, request) => {
      const id = required(request.pod_sandbox_id, 'pod_sandbox_id');
      return { stats: sandboxStats(await api.podSandboxStats(id)) };
    }),
    ListPodSandboxStats: calls.unary('ListPodSandboxStats', async (_, request) => {
      const stats = await api.listPodSandboxStats(sandboxFilter(request.filter));
      return { stats: stats.map(sandboxStats) };
    }),
  } satisfies Partial<Omit<RuntimeServiceHandlers, 'ListPodSandbox'>> & { ListPodSandbox: unknown };
}
