import type { AttachSession, StreamUrls } from '../service/streaming.ts';
import type { Calls } from './call.ts';
import type { AttachRequest__Output } from './gen/runtime/v1/AttachRequest.ts';
import type { RuntimeServiceHandlers } from './gen/runtime/v1/RuntimeService.ts';

/** The RPCs that answer with a URL: what they are about goes over a connection of its own. */
export function streamingHandlers(streams: StreamUrls, calls: Calls) {
  return {
    Exec: calls.unary('Exec', (_, request) => ({
      url: streams.exec({ ...attachSession(request), cmd: request.cmd }),
    })),
    Attach: calls.unary('Attach', (_, request) => ({ url: streams.attach(attachSession(request)) })),
    PortForward: calls.unary('PortForward', (_, request) => ({
      url: streams.portForward({ sandboxId: request.pod_sandbox_id, ports: request.port }),
    })),
  } satisfies Partial<RuntimeServiceHandlers>;
}

function attachSession({ container_id, tty, stdin, stdout, stderr }: AttachRequest__Output): AttachSession {
  return { containerId: container_id, tty, stdin, stdout, stderr };
}
