import { isCode, messageOf } from '../base/errors.ts';
import { configFiles, configSource, loadConfig, parseConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import type { RuntimeCondition } from '../service/api.ts';
import type { Daemon } from './daemon.ts';
import { cgroups } from './doctor/cgroups.ts';
import { type Check, type Finding, fail, ok, warn } from './doctor/finding.ts';
import { forwarding, inotify, kernel, privileges, propagation, security } from './doctor/kernel.ts';
import { nativeParts, networks, runtimes } from './doctor/programs.ts';
import { disk, overlay } from './doctor/storage.ts';
import { colour, print, printJson } from './output.ts';

const CHECKS: Record<string, Check> = {
  kernel,
  privileges,
  cgroups,
  overlayfs: overlay,
  disk,
  'native parts': nativeParts,
  runtimes,
  'CNI configuration': networks,
  ip_forward: forwarding,
  'mount propagation': propagation,
  inotify,
  security,
};

/** `skiff doctor`: 0 where pods can run, 1 where something keeps them from it. */
export async function doctor(daemon: Daemon, file: string, options: { json: boolean }): Promise<number> {
  const { config, finding } = await configuration(file);
  const context = { config, root: process.getuid?.() === 0 };
  const checked = await Promise.all(
    Object.entries(CHECKS).map(async ([name, check]) => {
      try {
        return await check(context);
      } catch (cause) {
        return warn(name, `could not be checked: ${messageOf(cause)}`, '');
      }
    }),
  );
  const findings = [finding, ...checked.flat(), await daemonFinding(daemon)];
  if (options.json) printJson(findings);
  else print(report(findings));
  return findings.some(({ state }) => state === 'fail') ? 1 : 0;
}

/** One line per finding, what to do about it on a line of its own, a summary at the end. */
export function report(findings: Finding[]): string {
  const width = Math.max(...findings.map(({ name }) => name.length));
  const marks = { ok: colour('green', 'ok  '), warn: colour('yellow', 'warn'), fail: colour('red', 'FAIL') };
  const lines = findings.flatMap(({ name, state, message, fix }) => [
    `${marks[state]}  ${name.padEnd(width)}  ${message}`,
    ...(fix === '' ? [] : [`${' '.repeat(width + 8)}-> ${fix}`]),
  ]);
  const count = (state: Finding['state']) => findings.filter((finding) => finding.state === state).length;
  const end =
    count('fail') > 0
      ? `${count('fail')} to mend before pods can run, ${count('warn')} to look at`
      : `pods can run; ${count('warn')} to look at`;
  return [...lines, '', end].join('\n');
}

/** With an invalid file the other checks go on with the defaults. */
async function configuration(file: string): Promise<{ config: Config; finding: Finding }> {
  const source = configSource(file === '' ? undefined : file);
  try {
    const config = await loadConfig(source);
    const files = await configFiles(source);
    const message = files.length === 0 ? 'the defaults' : files.join(', ');
    return { config, finding: ok('configuration', message) };
  } catch (cause) {
    const finding = fail(
      'configuration',
      messageOf(cause),
      'correct it; "skiff config reference" lists all keys',
    );
    return { config: parseConfig([]), finding };
  }
}

async function daemonFinding(daemon: Daemon): Promise<Finding> {
  try {
    const { conditions } = (await daemon.ops().get('/status')) as { conditions: RuntimeCondition[] };
    const bad = conditions.filter(({ status }) => !status);
    if (bad.length === 0) return ok('daemon', `answers on ${daemon.opsSocket}`);
    const message = bad.map(({ type, message: why }) => `${type} is false: ${why}`).join('; ');
    const blocking = bad.some(({ type }) => type === 'RuntimeReady');
    return (blocking ? fail : warn)('daemon', message, "see the other lines and the daemon's log");
  } catch (cause) {
    const state = isCode(cause, 'unavailable', 'permission_denied') ? warn : fail;
    return state('daemon', messageOf(cause), '');
  }
}
