import { SkiffError } from '../base/errors.ts';
import type { ContainerRow } from '../container/types.ts';
import type { ContainerStats, RuntimeApi } from '../service/api.ts';
import type { Calls } from './call.ts';
import { EncodedList, type WithBytes } from './encoded-list.ts';
import type { ListContainersRequest__Output } from './gen/runtime/v1/ListContainersRequest.ts';
import type { RuntimeServiceHandlers } from './gen/runtime/v1/RuntimeService.ts';
import type { StreamContainerStatsRequest__Output } from './gen/runtime/v1/StreamContainerStatsRequest.ts';
import type { StreamContainersRequest__Output } from './gen/runtime/v1/StreamContainersRequest.ts';
import { message } from './proto.ts';
import { containerConfig } from './translate/container-config.ts';
import { containerMessage, containerStatus } from './translate/container-status.ts';
import { integer, required, verboseInfo } from './translate/fields.ts';
import { containerFilter } from './translate/filters.ts';
import { linuxResources } from './translate/resources.ts';
import { sandboxConfig } from './translate/sandbox-config.ts';
import { containerStats } from './translate/stats.ts';

/** The RPCs about containers. */
export function containerHandlers(api: RuntimeApi, calls: Calls) {
  const list = new EncodedList<ContainerRow>((row) => message('Container').serialize(containerMessage(row)));
  const stats = new EncodedList<ContainerStats>((one) =>
    message('ContainerStats').serialize(containerStats(one)),
  );
  return {
    CreateContainer: calls.unary('CreateContainer', async (context, request) => ({
      container_id: await api.createContainer(
        context,
        required(request.pod_sandbox_id, 'pod_sandbox_id'),
        containerConfig(request.config),
        request.sandbox_config && sandboxConfig(request.sandbox_config, 'sandbox_config'),
      ),
    })),
    StartContainer: calls.unary('StartContainer', async (context, request) => {
      await api.startContainer(context, containerId(request));
      return {};
    }),
    StopContainer: calls.unary('StopContainer', async (context, request) => {
      await api.stopContainer(context, containerId(request), seconds(request.timeout));
      return {};
    }),
    RemoveContainer: calls.unary('RemoveContainer', async (context, request) => {
      await api.removeContainer(context, containerId(request));
      return {};
    }),
    ContainerStatus: calls.unary('ContainerStatus', async (_, request) => {
      const status = await api.containerStatus(containerId(request), request.verbose);
      return { status: containerStatus(status), info: verboseInfo(status.info) };
    }),
    ListContainers: calls.unary('ListContainers', (_, request: ListContainersRequest__Output) =>
      list.join(api.listContainers(containerFilter(request.filter))),
    ),
    StreamContainers: calls.serverStream(
      'StreamContainers',
      async function* (_, request: StreamContainersRequest__Output) {
        yield* list.batches(api.listContainers(containerFilter(request.filter)));
      },
    ),
    UpdateContainerResources: calls.unary('UpdateContainerResources', async (context, request) => {
      const id = containerId(request);
      await api.updateContainerResources(context, id, linuxResources(request.linux), request.annotations);
      return {};
    }),
    ReopenContainerLog: calls.unary('ReopenContainerLog', async (_, request) => {
      await api.reopenContainerLog(containerId(request));
      return {};
    }),
    ExecSync: calls.unary('ExecSync', async (context, request) => {
      const id = containerId(request);
      if (request.cmd.length === 0)
        throw new SkiffError('invalid_argument', 'check request: cmd is empty; give the command to run');
      const result = await api.execSync(context, id, request.cmd, seconds(request.timeout));
      return { stdout: result.stdout, stderr: result.stderr, exit_code: result.exitCode };
    }),
    ContainerStats: calls.unary('ContainerStats', async (_, request) => ({
      stats: containerStats(await api.containerStats(containerId(request))),
    })),
    ListContainerStats: calls.unary('ListContainerStats', async (_, request) => {
      const rows = await api.listContainerStats(containerFilter(request.filter));
      return { stats: rows.map(containerStats) };
    }),
    StreamContainerStats: calls.serverStream(
      'StreamContainerStats',
      async function* (_, request: StreamContainerStatsRequest__Output) {
        yield* stats.batches(await api.listContainerStats(containerFilter(request.filter)));
      },
    ),
  } satisfies WithBytes<
    RuntimeServiceHandlers,
    'ListContainers' | 'StreamContainers' | 'StreamContainerStats'
  >;
}

function containerId(request: { container_id: string }): string {
  return required(request.container_id, 'container_id');
}

/** A timeout in seconds; a negative one means what zero means. */
function seconds(value: string): number {
  return Math.max(0, integer(value));
}
