import { isCode, messageOf, SkiffError } from '../base/errors.ts';
import type { CriClient } from '../cri/client.ts';
import { openCommand } from '../streaming/client.ts';
import { containerExit } from './container-exit.ts';
import { readLog } from './container-log.ts';
import type { Daemon } from './daemon.ts';
import { Interrupts } from './interrupts.ts';
import { LogWriter } from './log-writer.ts';
import { note, print } from './output.ts';
import { pullImage } from './pull.ts';
import { RunPod, rootDirectory } from './run-pod.ts';
import { checkOptions, containerOf, NAMESPACE, type RunOptions } from './run-spec.ts';
import { runSession } from './session.ts';

const STOP_SECONDS = 10;

/** As docker does: failures of our own, a command that cannot be run, one that is not there. */
const EXIT_OURS = 125;
const EXIT_NOT_RUNNABLE = 126;
const EXIT_NOT_FOUND = 127;

/** `skiff run`: the exit code of the command, 0 with --detach. */
export async function run(
  daemon: Daemon,
  image: string,
  args: string[],
  options: RunOptions,
): Promise<number> {
  const interrupts = new Interrupts();
  try {
    checkOptions(options);
    const pod = new RunPod(options, await rootDirectory(daemon));
    const container = containerOf(options, pod.name, image, args);
    return await daemon.withCri(async (cri) => {
      await requireFreeName(cri, pod.name);
      await ensureImage(daemon, cri, image, interrupts.first);
      let keep = false;
      try {
        const signal = interrupts.first;
        const podId = await pod.start(cri, options.runtime, signal);
        const request = { pod_sandbox_id: podId, config: container, sandbox_config: pod.config };
        const { container_id } = await cri.runtime.CreateContainer(request, { signal });
        await cri.runtime.StartContainer({ container_id }, { signal });
        if (options.tty && options.interactive && !options.detach)
          return await attached(cri, container_id, pod.logPath, interrupts);
        if (!options.detach) return await follow(cri, container_id, pod.logPath, options, interrupts);
        keep = true;
        print(container_id);
        return 0;
      } finally {
        if (!keep) await pod.remove(cri);
      }
    });
  } catch (cause) {
    if (interrupts.exitCode !== 0) return interrupts.exitCode;
    return failed(cause);
  } finally {
    interrupts.stop();
  }
}

/** Only the kubelet runs several pods of one name, told apart by uid; here a name is what the user goes by. */
async function requireFreeName(cri: CriClient, name: string): Promise<void> {
  const { items } = await cri.runtime.ListPodSandbox({});
  if (!items.some(({ metadata }) => metadata?.name === name && metadata.namespace === NAMESPACE)) return;
  throw new SkiffError(
    'already_exists',
    `there is a pod "${name}" already; remove it with "skiff rm -f ${name}" or choose another --name`,
  );
}

async function ensureImage(
  daemon: Daemon,
  cri: CriClient,
  image: string,
  signal: AbortSignal,
): Promise<void> {
  const known = await cri.images.ImageStatus({ image: { image } }, { signal });
  if (known.image === null) await pullImage(daemon, image, { quiet: false, signal });
}

/**
 * Shows the log until the container has ended; its exit code. The first Ctrl-C
 * stops it gently, the second kills it, the third waits no longer.
 */
async function follow(
  cri: CriClient,
  id: string,
  logPath: string,
  options: Pick<RunOptions, 'interactive'>,
  interrupts: Interrupts,
): Promise<number> {
  const ended = new AbortController();
  const typing = options.interactive ? type(cri, id, ended.signal) : undefined;
  const shown = showLog(logPath, ended.signal);
  const stop = (timeout: number) => {
    cri.runtime.StopContainer({ container_id: id, timeout }).catch((cause: unknown) => {
      if (!ended.signal.aborted) note(`skiff: stop: ${messageOf(cause)}`);
    });
  };
  if (interrupts.first.aborted) stop(STOP_SECONDS);
  interrupts.first.addEventListener('abort', () => stop(STOP_SECONDS));
  interrupts.second.addEventListener('abort', () => stop(0));
  try {
    const { reason, exit_code } = await containerExit(cri, id, interrupts.third);
    if (reason === 'OOMKilled') note('skiff: the container ran out of memory and was killed');
    return exit_code;
  } finally {
    ended.abort();
    await Promise.all([shown, typing]);
  }
}

/** Gives the container this process's stdin: the log has its output, from the first byte. */
async function type(cri: CriClient, id: string, ended: AbortSignal): Promise<void> {
  try {
    const wanted = { tty: false, stdin: true, stdout: false, stderr: false };
    const { url } = await cri.runtime.Attach({ container_id: id, ...wanted });
    const command = await openCommand(url, wanted);
    ended.addEventListener('abort', () => void command.close());
    await runSession(command, { tty: false });
  } catch (cause) {
    // A command that is quicker than its input has ended meanwhile.
    if (!ended.aborted && !isCode(cause, 'failed_precondition')) note(`skiff: stdin: ${messageOf(cause)}`);
  }
}

/** Joins the caller's terminal to the container's until it ends; its exit code. */
async function attached(
  cri: CriClient,
  id: string,
  logPath: string,
  interrupts: Interrupts,
): Promise<number> {
  const wanted = { tty: true, stdin: true, stdout: true, stderr: false };
  try {
    const { url } = await cri.runtime.Attach({ container_id: id, ...wanted });
    const outcome = await runSession(await openCommand(url, wanted), { tty: true });
    if ('error' in outcome) throw new SkiffError('unavailable', outcome.error);
  } catch (cause) {
    if (!isCode(cause, 'failed_precondition', 'unavailable')) throw cause;
    // It has ended before there was anybody to see it, or the daemon has gone: the log has it all.
    return follow(cri, id, logPath, { interactive: false }, interrupts);
  }
  return (await containerExit(cri, id, interrupts.third)).exit_code;
}

async function showLog(path: string, ended: AbortSignal): Promise<void> {
  const writer = new LogWriter({ timestamps: false });
  for await (const entry of readLog({ path, follow: ended })) writer.write(entry);
}

function failed(cause: unknown): number {
  const { message } = SkiffError.from(cause);
  note(`skiff: ${message}`);
  if (/executable file .*not found|exec.*: no such file or directory/.test(message)) return EXIT_NOT_FOUND;
  return /exec.*: permission denied/.test(message) ? EXIT_NOT_RUNNABLE : EXIT_OURS;
}
