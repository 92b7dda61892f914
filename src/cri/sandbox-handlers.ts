import type { SandboxRow } from '../sandbox/types.ts';
import type { RuntimeApi, SandboxStats } from '../service/api.ts';
import type { Calls } from './call.ts';
import { EncodedList, type WithBytes } from './encoded-list.ts';
import type { ListPodSandboxRequest__Output } from './gen/runtime/v1/ListPodSandboxRequest.ts';
import type { RuntimeServiceHandlers } from './gen/runtime/v1/RuntimeService.ts';
import type { StreamPodSandboxesRequest__Output } from './gen/runtime/v1/StreamPodSandboxesRequest.ts';
import type { StreamPodSandboxStatsRequest__Output } from './gen/runtime/v1/StreamPodSandboxStatsRequest.ts';
import { message } from './proto.ts';
import { required } from './translate/fields.ts';
import { sandboxFilter } from './translate/filters.ts';
import { linuxResources } from './translate/resources.ts';
import { sandboxConfig } from './translate/sandbox-config.ts';
import { sandboxMessage, sandboxStatusResponse } from './translate/sandbox-status.ts';
import { sandboxStats } from './translate/stats.ts';

/** The RPCs about pod sandboxes. */
export function sandboxHandlers(api: RuntimeApi, calls: Calls) {
  const list = new EncodedList<SandboxRow>((row) => message('PodSandbox').serialize(sandboxMessage(row)));
  const stats = new EncodedList<SandboxStats>((one) =>
    message('PodSandboxStats').serialize(sandboxStats(one)),
  );
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
    ListPodSandbox: calls.unary('ListPodSandbox', (_, request: ListPodSandboxRequest__Output) =>
      list.join(api.listPodSandbox(sandboxFilter(request.filter))),
    ),
    StreamPodSandboxes: calls.serverStream(
      'StreamPodSandboxes',
      async function* (_, request: StreamPodSandboxesRequest__Output) {
        yield* list.batches(api.listPodSandbox(sandboxFilter(request.filter)));
      },
    ),
    UpdatePodSandboxResources: calls.unary('UpdatePodSandboxResources', async (context, request) => {
      await api.updatePodSandboxResources(context, required(request.pod_sandbox_id, 'pod_sandbox_id'), {
        overhead: linuxResources(request.overhead),
        resources: linuxResources(request.resources),
      });
      return {};
    }),
    PodSandboxStats: calls.unary('PodSandboxStats', async (_, request) => {
      const id = required(request.pod_sandbox_id, 'pod_sandbox_id');
      return { stats: sandboxStats(await api.podSandboxStats(id)) };
    }),
    ListPodSandboxStats: calls.unary('ListPodSandboxStats', async (_, request) => {
      const rows = await api.listPodSandboxStats(sandboxFilter(request.filter));
      return { stats: rows.map(sandboxStats) };
    }),
    StreamPodSandboxStats: calls.serverStream(
      'StreamPodSandboxStats',
      async function* (_, request: StreamPodSandboxStatsRequest__Output) {
        yield* stats.batches(await api.listPodSandboxStats(sandboxFilter(request.filter)));
      },
    ),
  } satisfies WithBytes<
    RuntimeServiceHandlers,
    'ListPodSandbox' | 'StreamPodSandboxes' | 'StreamPodSandboxStats'
  >;
}
