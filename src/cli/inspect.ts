import { isCode } from '../base/errors.ts';
import type { CriClient } from '../cri/client.ts';
import type { Daemon } from './daemon.ts';
import { findTarget, inventory } from './names.ts';
import { printJson } from './output.ts';

/** `skiff inspect NAME`: everything about a container, a pod or an image, as JSON. */
export async function inspect(daemon: Daemon, name: string): Promise<void> {
  await daemon.withCri(async (cri) => printJson(await statusOf(cri, name)));
}

async function statusOf(cri: CriClient, name: string): Promise<unknown> {
  try {
    const target = findTarget(await inventory(cri), name);
    const reply =
      target.kind === 'pod'
        ? await cri.runtime.PodSandboxStatus({ pod_sandbox_id: target.pod.id, verbose: true })
        : await cri.runtime.ContainerStatus({ container_id: target.container.id, verbose: true });
    return { ...reply, info: infoOf(reply.info) };
  } catch (cause) {
    if (!isCode(cause, 'not_found')) throw cause;
    const { image, info } = await cri.images.ImageStatus({ image: { image: name }, verbose: true });
    if (image === null) throw cause;
    return { status: image, info: infoOf(info) };
  }
}

/** CRI sends verbose facts as texts, most of them JSON. */
function infoOf(info: Record<string, string>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(info).map(([key, text]) => {
      try {
        return [key, JSON.parse(text)];
      } catch {
        return [key, text];
      }
    }),
  );
}
