import { SkiffError } from '../../base/errors.ts';
import {
  CNI_ERROR,
  type CniCommand,
  type CniNetworkList,
  type CniPluginConf,
  type CniResult,
} from '../../oci/cni-spec.ts';
import { type PluginRunner, pluginErrorCode } from './exec.ts';
import { type CniRequest, capabilityArgs, cniArgs, runtimeConfig } from './request.ts';
import { parseResult } from './result.ts';
import { atLeast } from './version.ts';

/** One pod on one network, under one interface name. */
export interface Attachment {
  list: CniNetworkList;
  request: CniRequest;
  ifName: string;
  /** Result of ADD; null before it and where it was lost. */
  result: CniResult | null;
}

/** An attachment that still exists, for GC. */
export interface ValidAttachment {
  containerID: string;
  ifname: string;
}

/**
 * Runs ADD of each plugin in order, each with the result of the one before.
 * `attachment.result` is the latest one at any time: after a failure DEL needs
 * it to find what the plugins before had made.
 */
export async function addList(
  runner: PluginRunner,
  attachment: Attachment,
  signal?: AbortSignal,
): Promise<void> {
  for (const plugin of attachment.list.plugins) {
    const call = attachmentCall('ADD', attachment, plugin, signal);
    const added = parseResult(await runner.exec(call), plugin.type);
    // A result without a version is in that of the configuration, and the next plugin must be told.
    attachment.result = { ...added, cniVersion: added.cniVersion || attachment.list.cniVersion };
  }
}

/**
 * Runs DEL of each plugin in reverse order and ends at the first that fails
 * (SPEC.md section 3): an address must not become free while port rules still
 * point at it. The caller tries again later.
 */
export async function deleteList(
  runner: PluginRunner,
  attachment: Attachment,
  signal?: AbortSignal,
): Promise<void> {
  for (const plugin of attachment.list.plugins.toReversed())
    await deletePlugin(runner, attachment, plugin, signal);
}

/** DEL of the whole list after an ADD that failed; goes on past plugins that fail, as nobody will try again. What failed is returned. */
export async function undoList(runner: PluginRunner, attachment: Attachment): Promise<SkiffError[]> {
  const failures: SkiffError[] = [];
  for (const plugin of attachment.list.plugins.toReversed()) {
    try {
      await deletePlugin(runner, attachment, plugin);
    } catch (cause) {
      failures.push(SkiffError.from(cause));
    }
  }
  return failures;
}

async function deletePlugin(
  runner: PluginRunner,
  attachment: Attachment,
  plugin: CniPluginConf,
  signal?: AbortSignal,
): Promise<void> {
  // The result is part of DEL since 0.4.0.
  const result = atLeast(attachment.list.cniVersion, '0.4.0') ? attachment.result : null;
  try {
    await runner.exec(attachmentCall('DEL', { ...attachment, result }, plugin, signal));
  } catch (cause) {
    // "This error implies the runtime does not need to perform any container network cleanup" (SPEC.md, Error).
    if (pluginErrorCode(cause) !== CNI_ERROR.unknownContainer) throw cause;
  }
}

/** Runs CHECK of each plugin, where the list allows it and its version has it (0.4.0). */
export async function checkList(
  runner: PluginRunner,
  attachment: Attachment,
  signal?: AbortSignal,
): Promise<void> {
  if (attachment.list.disableCheck || !atLeast(attachment.list.cniVersion, '0.4.0')) return;
  for (const plugin of attachment.list.plugins)
    await runner.exec(attachmentCall('CHECK', attachment, plugin, signal));
}

/** Asks each plugin whether it could serve an ADD; only lists of 1.1.0 and later know the question. */
export async function statusList(runner: PluginRunner, list: CniNetworkList): Promise<void> {
  if (!atLeast(list.cniVersion, '1.1.0')) return;
  for (const plugin of list.plugins)
    await runner.exec({
      command: 'STATUS',
      type: plugin.type,
      config: requestConfig(list, plugin, {}),
      env: {},
    });
}

/** Tells each plugin which attachments still exist, so that it frees the others (1.1.0). All plugins are asked; what failed is returned. */
export async function gcList(
  runner: PluginRunner,
  list: CniNetworkList,
  valid: ValidAttachment[],
): Promise<SkiffError[]> {
  if (list.disableGC || !atLeast(list.cniVersion, '1.1.0')) return [];
  const failures: SkiffError[] = [];
  for (const plugin of list.plugins) {
    // The second key is what libcni sent before the name in the specification was followed (cni #1101).
    const added = { 'cni.dev/valid-attachments': valid, 'cni.dev/attachments': valid };
    const config = requestConfig(list, plugin, added);
    await runner.exec({ command: 'GC', type: plugin.type, config, env: {} }).catch((cause: unknown) => {
      failures.push(SkiffError.from(cause));
    });
  }
  return failures;
}

/** `list` at the newest of its versions that all of its plugins support; unchanged where it gives only one. */
export async function negotiate(
  runner: PluginRunner,
  list: CniNetworkList,
  signal?: AbortSignal,
): Promise<CniNetworkList> {
  if (list.cniVersions.length < 2) return list;
  let shared = list.cniVersions;
  for (const plugin of list.plugins) {
    const supported = await runner.supportedVersions(plugin.type, signal);
    shared = shared.filter((version) => supported.includes(version));
  }
  const cniVersion = shared[shared.length - 1];
  if (cniVersion === undefined)
    throw new SkiffError(
      'failed_precondition',
      `CNI network ${list.name}: its plugins share none of the versions ${list.cniVersions.join(', ')}`,
    );
  return { ...list, cniVersion };
}

function attachmentCall(
  command: CniCommand,
  attachment: Attachment,
  plugin: CniPluginConf,
  signal?: AbortSignal,
) {
  const { list, request, ifName, result } = attachment;
  const args = runtimeConfig(plugin, capabilityArgs(request));
  const config = requestConfig(list, plugin, {
    ...(args === undefined ? {} : { runtimeConfig: args }),
    ...(result === null ? {} : { prevResult: result }),
  });
  const env = {
    CNI_CONTAINERID: request.id,
    CNI_NETNS: request.netns,
    CNI_IFNAME: ifName,
    CNI_ARGS: cniArgs(request),
  };
  return { command, type: plugin.type, config, env, signal };
}

/** SPEC.md, "Deriving request configuration": name and version go in, `capabilities` comes out, all else passes. */
function requestConfig(
  list: CniNetworkList,
  plugin: CniPluginConf,
  added: Record<string, unknown>,
): Record<string, unknown> {
  const { capabilities: _, ...own } = plugin;
  return { ...own, name: list.name, cniVersion: list.cniVersion, ...added };
}
