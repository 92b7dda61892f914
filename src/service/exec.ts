import type { Socket } from 'node:net';
import { finished, type Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { copyStream } from '../base/copy-stream.ts';
import { readFileIfThere } from '../base/files.ts';
import { execProcess } from '../container/spec/process.ts';
import type { ContainerRow } from '../container/types.ts';
import { type Child, startChild } from '../os/child.ts';
import { artefact } from '../os/paths.ts';
import { resizeStdin, startOnTerminal, type TerminalChild } from '../os/terminal.ts';
import { type ExecFiles, execExitCode, withExecFiles } from './exec-files.ts';
import type { Hall } from './hall.ts';
import { readSpec } from './inspect.ts';
import { runtimeOf } from './lookup.ts';
import type { ExecSession, RemoteStreams } from './streaming.ts';

/**
 * How long an output that is silent is still waited for once the command has ended: a process that it left in the
 * background may hold it for ever.
 */
const SILENCE_MS = 1000;
/** A runtime that was called in the foreground does not tell when the command runs: it takes some tens of milliseconds. */
const PID_POLL_MS = 20;

/**
 * Exec: a command in a running container, with the client's streams for its own. A client that goes takes a command
 * with a terminal along, by a hang-up; one without goes on, its input ended and its output dropped: slowly, so that an endless one costs nothing.
 */
export async function exec(
  hall: Hall,
  row: ContainerRow,
  session: ExecSession,
  streams: RemoteStreams,
): Promise<number> {
  const process = execProcess(await readSpec(hall, row.id), session.cmd, session.tty);
  const options = { stateDir: hall.layout.state, containerId: row.id, process };
  return withExecFiles(options, (files) => {
    const runtime = runtimeOf(hall, row.runtimeHandler);
    const command = { id: row.id, ...files, detach: !session.tty, tty: session.tty };
    const line = runtime.execCommand(command);
    return session.tty ? runOnTerminal(line, files, streams) : runOnPipes(line, files, streams);
  });
}

async function runOnPipes(command: string[], files: ExecFiles, streams: RemoteStreams): Promise<number> {
  const child = startChild(artefact('skiff-exec'), [files.pidFile, ...command], {
    stdin: streams.stdin !== null,
    stdout: streams.stdout !== null,
    stderr: streams.stderr !== null,
    report: true,
  });
  if (streams.stdin && child.stdin) void copyStream(streams.stdin, child.stdin);
  const copies: Promise<void>[] = [];
  if (child.stdout && streams.stdout) copies.push(copyStream(child.stdout, streams.stdout));
  // What the runtime itself says on stderr where it cannot start the command is told by the error.
  const started = child.report === null ? false : await arrives(child.report);
  if (child.stderr && streams.stderr && started) copies.push(copyStream(child.stderr, streams.stderr));
  else child.stderr?.resume();
  return endOf(child, files, copies);
}

async function runOnTerminal(command: string[], files: ExecFiles, streams: RemoteStreams): Promise<number> {
  const [file = '', ...args] = command;
  const terminal = startOnTerminal(file, args);
  const hangUp = () => terminal.hangUp();
  streams.gone.addEventListener('abort', hangUp, { once: true });
  void followSizes(streams, terminal, files);
  if (streams.stdin) void copyStream(streams.stdin, terminal.stdin);
  else terminal.stdin.on('error', () => undefined);
  const copies: Promise<void>[] = [];
  if (streams.stdout) copies.push(copyStream(terminal.stdout, streams.stdout));
  else terminal.stdout.resume();
  if (streams.gone.aborted) hangUp();
  try {
    return await endOf(terminal, files, copies);
  } finally {
    streams.gone.removeEventListener('abort', hangUp);
    terminal.hangUp();
  }
}

/** runc passes the size of its terminal on to that in the container, crun does not: both are set. */
async function followSizes(streams: RemoteStreams, terminal: TerminalChild, files: ExecFiles): Promise<void> {
  for await (const { width, height } of streams.sizes) {
    terminal.resize(width, height);
    const pid = await pidOf(files, terminal);
    if (pid !== undefined) await resizeStdin(pid, width, height);
  }
}

/** The command's pid once it runs; undefined where that does not come to be. */
async function pidOf(files: ExecFiles, child: Child): Promise<number | undefined> {
  let ended = false;
  void child.ended.then(() => {
    ended = true;
  });
  for (;;) {
    const pid = Number((await readFileIfThere(files.pidFile)) ?? 0);
    if (pid > 0) return pid;
    if (ended) return undefined;
    await sleep(PID_POLL_MS);
  }
}

/** The exit code, when all output is written. */
async function endOf(child: Child, files: ExecFiles, copies: Promise<void>[]): Promise<number> {
  const { code } = await child.ended;
  child.stdin?.destroy();
  await Promise.all([child.stdout, child.stderr].map((output) => output && untilSilent(output)));
  await Promise.all(copies);
  return execExitCode(files, code, '');
}

/** Ends an output that has nothing more to say though it is not closed; a client that is slow to read it is waited for. */
function untilSilent(output: Socket): Promise<void> {
  return new Promise((resolve) => {
    let seen = -1;
    const timer = setInterval(() => {
      const rests = output.isPaused() || output.readableLength > 0;
      if (!rests && output.bytesRead === seen) output.destroy();
      seen = output.bytesRead;
    }, SILENCE_MS);
    finished(output, { writable: false }, () => {
      clearInterval(timer);
      resolve();
    });
  });
}

/** Whether a byte comes before the end. */
async function arrives(report: Readable): Promise<boolean> {
  for await (const _ of report) return true;
  return false;
}
