import { SkiffError } from '../base/errors.ts';
import type { AttachSession, ExecSession, PortForwardSession, StreamingApi } from '../service/streaming.ts';

/** What a token stands for. `kind` is also the first part of the URL's path. */
export type StreamRequest =
  | { kind: 'exec'; session: ExecSession }
  | { kind: 'attach'; session: AttachSession }
  | { kind: 'portforward'; session: PortForwardSession };

/** Ports that one PortForward may name: each has two of the channels of a WebSocket. */
const MAX_PORTS = 64;

/** The request with full ids; `invalid_argument` by the field's name, `not_found` or `failed_precondition` else. */
export function checkedRequest(request: StreamRequest, service: StreamingApi): StreamRequest {
  switch (request.kind) {
    case 'exec':
      checkStreams(request.session);
      if (request.session.cmd.length === 0) throw invalid('cmd is empty; give the command to run');
      return {
        kind: 'exec',
        session: { ...request.session, containerId: containerId(request.session, service) },
      };
    case 'attach':
      checkStreams(request.session);
      return {
        kind: 'attach',
        session: { ...request.session, containerId: containerId(request.session, service) },
      };
    case 'portforward': {
      const { sandboxId, ports } = request.session;
      if (sandboxId === '') throw invalid('pod_sandbox_id is required and was not given');
      if (ports.length > MAX_PORTS)
        throw invalid(`port names ${ports.length} ports; ${MAX_PORTS} are the most`);
      const wrong = ports.find((port) => !Number.isInteger(port) || port < 1 || port > 0xffff);
      if (wrong !== undefined) throw invalid(`port is ${wrong}; expected one from 1 to 65535`);
      return { kind: 'portforward', session: { sandboxId: service.readySandbox(sandboxId).id, ports } };
    }
  }
}

function checkStreams({ containerId, tty, stdin, stdout, stderr }: AttachSession): void {
  if (containerId === '') throw invalid('container_id is required and was not given');
  if (tty && stderr) throw invalid('stderr and tty are both set; a terminal has one output, stdout');
  if (!stdin && !stdout && !stderr) throw invalid('none of stdin, stdout and stderr is set');
}

function containerId({ containerId }: AttachSession, service: StreamingApi): string {
  return service.runningContainer(containerId).id;
}

function invalid(what: string): SkiffError {
  return new SkiffError('invalid_argument', `check request: ${what}`);
}
