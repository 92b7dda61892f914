import type { ContainerStats } from './cri-types.ts';
import type { Daemon } from './daemon.ts';
import { findContainer, inventory } from './names.ts';
import { bytes, print, printJson, shortId, table } from './output.ts';

/** `skiff stats [CONTAINER]`: processor, memory and disk of running containers, now. */
export async function stats(
  daemon: Daemon,
  name: string | undefined,
  options: { json: boolean },
): Promise<void> {
  await daemon.withCri(async (cri) => {
    const id = name === undefined ? '' : findContainer(await inventory(cri), name).id;
    const reply = await cri.runtime.ListContainerStats({ filter: { id } });
    if (options.json) return printJson(reply.stats);
    print(table(['CONTAINER', 'NAME', 'CPU', 'CPU TIME', 'MEMORY', 'DISK', 'INODES'], reply.stats.map(row)));
  });
}

/** `-` stands for what this host does not tell, such as limits of a missing controller. */
function row({ attributes, cpu, memory, writable_layer }: ContainerStats): string[] {
  const cores = cpu?.usage_nano_cores;
  const time = cpu?.usage_core_nano_seconds;
  const working = memory?.working_set_bytes;
  return [
    shortId(attributes?.id ?? ''),
    attributes?.metadata?.name ?? '',
    cores ? `${(Number(cores.value) / 1e7).toFixed(1)}%` : '-',
    time ? `${(Number(time.value) / 1e9).toFixed(2)}s` : '-',
    working ? bytes(Number(working.value)) : '-',
    writable_layer?.used_bytes ? bytes(Number(writable_layer.used_bytes.value)) : '-',
    writable_layer?.inodes_used ? writable_layer.inodes_used.value : '-',
  ];
}
