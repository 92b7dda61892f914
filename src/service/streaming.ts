import type { Duplex, Readable, Writable } from 'node:stream';
import { SkiffError } from '../base/errors.ts';
import { type ContainerRow, stateOf } from '../container/types.ts';
import type { SandboxRow } from '../sandbox/types.ts';
import { attach } from './attach.ts';
import { exec } from './exec.ts';
import type { Hall } from './hall.ts';
import { containerOf, sandboxOf } from './lookup.ts';
import { portForward } from './port-forward.ts';

/** In characters. */
export interface TerminalSize {
  width: number;
  height: number;
}

/** The client's ends of a session; null where it did not ask for one. */
export interface RemoteStreams {
  /** Ends when the client closes it, and when the client is gone. */
  stdin: Readable | null;
  stdout: Writable | null;
  stderr: Writable | null;
  /** The sizes that the client's terminal takes on. */
  sizes: AsyncIterable<TerminalSize>;
  /** Aborted when the client is gone. */
  gone: AbortSignal;
}

export interface AttachSession {
  containerId: string;
  tty: boolean;
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
}

export interface ExecSession extends AttachSession {
  cmd: string[];
}

export interface PortForwardSession {
  sandboxId: string;
  /** What the client said beforehand; may be empty, because SPDY says it per connection. */
  ports: number[];
}

/** The answers to Exec, Attach and PortForward: URLs that are good once and for a minute. They reject as CRI has it. */
export interface StreamUrls {
  exec(session: ExecSession): string;
  attach(session: AttachSession): string;
  portForward(session: PortForwardSession): string;
}

/** What is behind Exec, Attach and PortForward; streaming/ calls it for a client that has come with its token. */
export interface StreamingApi {
  /** Resolves an id; `not_found`, or `failed_precondition` where the container does not run. */
  runningContainer(id: string): ContainerRow;
  /** Resolves an id; `not_found`, or `failed_precondition` where the sandbox is not ready. */
  readySandbox(id: string): SandboxRow;
  /** The command's exit code, once all of its output is written. Rejects where it cannot be started. */
  exec(session: ExecSession, streams: RemoteStreams): Promise<number>;
  /** Resolves when the container has ended or the client has let go. */
  attach(session: AttachSession, streams: RemoteStreams): Promise<void>;
  /** Connects `data` to a TCP port of the pod, until both have ended. Rejects where nobody listens there. */
  portForward(sandboxId: string, port: number, data: Duplex): Promise<void>;
}

export function streamingService(hall: Hall): StreamingApi {
  return {
    runningContainer: (id) => runningContainer(hall, id),
    readySandbox: (id) => readySandbox(hall, id),
    exec: (session, streams) => exec(hall, runningContainer(hall, session.containerId), session, streams),
    attach: (session, streams) => attach(hall, runningContainer(hall, session.containerId), session, streams),
    portForward: (id, port, data) => portForward(readySandbox(hall, id), port, data),
  };
}

function runningContainer(hall: Hall, id: string): ContainerRow {
  const row = containerOf(hall, id);
  if (stateOf(row) !== 'running')
    throw new SkiffError('failed_precondition', `container ${row.id} is ${stateOf(row)}, not running`);
  return row;
}

function readySandbox(hall: Hall, id: string): SandboxRow {
  const row = sandboxOf(hall, id);
  if (row.state !== 'ready')
    throw new SkiffError('failed_precondition', `sandbox ${row.id} is ${row.state}, not ready`);
  return row;
}
