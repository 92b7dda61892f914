import type { RuntimeCondition, RuntimeHandlerInfo, RuntimeStatus } from './api.ts';
import type { Hall } from './hall.ts';

/** Status: whether pods can run, and with which handlers; asked by the kubelet every 5 seconds. */
export async function runtimeStatus(hall: Hall, verbose: boolean): Promise<RuntimeStatus> {
  const network = hall.cni.status();
  return {
    conditions: [
      runtimeReady(hall),
      { type: 'NetworkReady', status: network.ready, reason: network.reason, message: network.message },
    ],
    handlers: await handlers(hall),
    supplementalGroupsPolicy: true,
    info: verbose ? await verboseInfo(hall) : null,
  };
}

function runtimeReady(hall: Hall): RuntimeCondition {
  const trouble = hall.trouble();
  return {
    type: 'RuntimeReady',
    status: trouble === undefined,
    reason: trouble === undefined ? '' : 'RuntimeNotReady',
    message: trouble?.message ?? '',
  };
}

async function handlers(hall: Hall): Promise<RuntimeHandlerInfo[]> {
  return Promise.all(
    [...hall.runtimes].map(async ([name, runtime]) => {
      const features = await runtime.features();
      return {
        name,
        recursiveReadonlyMounts: (features.mountOptions ?? []).includes('rro'),
        // Pods with user namespaces are refused by name, whatever the OCI runtime can do.
        userNamespaces: false,
      };
    }),
  );
}

async function verboseInfo(hall: Hall): Promise<Record<string, unknown>> {
  return {
    config: { ...hall.options, root: hall.layout.root, stateDir: hall.layout.state },
    cniconfig: hall.cni.info(),
    lastCNILoadStatus: hall.cni.status().message,
    host: { ...hall.host, controllers: [...hall.host.controllers] },
    operations: hall.operations.list(),
  };
}
