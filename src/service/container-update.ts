import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SkiffError } from '../base/errors.ts';
import { writeFileAtomic } from '../base/files.ts';
import { mergeResources, toOciResources } from '../container/spec/resources.ts';
import { type ContainerRow, stateOf } from '../container/types.ts';
import type { Spec } from '../oci/runtime-spec.ts';
import type { LinuxResources } from '../sandbox/types.ts';
import type { CallContext } from './api.ts';
import type { Hall } from './hall.ts';
import { containerOf, runtimeOf } from './lookup.ts';

/**
 * UpdateContainerResources: the limits of a created or running container; what
 * is zero or absent stays as it is, `unified` is merged. The bundle is written
 * too, so that a created container starts with them.
 */
export async function updateContainerResources(
  hall: Hall,
  call: CallContext,
  id: string,
  resources: LinuxResources | null,
): Promise<void> {
  const row = containerOf(hall, id);
  if (resources === null) return;
  await hall.calls.change.join(`update ${row.id} ${JSON.stringify(resources)}`, call.signal, () =>
    update(hall, row.id, resources),
  );
}

async function update(hall: Hall, id: string, resources: LinuxResources): Promise<void> {
  const row = containerOf(hall, id);
  if (stateOf(row) === 'exited')
    throw new SkiffError('failed_precondition', `update container ${id}: it has exited`);
  await hall.operations.run('UpdateContainerResources', id, async (op) => {
    const merged = mergeResources(row.resources, resources);
    const { resources: oci, warnings } = toOciResources(merged, hall.host, hall.options);
    for (const warning of warnings) hall.log.warn({ id }, warning);
    await op.step(
      'write bundle',
      () => rewriteBundle(hall, row, oci),
      (old) => old.restore(),
    );
    if (stateOf(row) === 'running')
      await op.step('update cgroup', () => runtimeOf(hall, row.runtimeHandler).update(id, oci));
    await op.step('write row', () =>
      hall.containers.update(id, (now) => ({ ...now, resources: merged }), {
        subject: id,
        what: 'resources updated',
        detail: { resources: merged },
      }),
    );
  });
}

async function rewriteBundle(
  hall: Hall,
  row: ContainerRow,
  resources: NonNullable<Spec['linux']>['resources'],
) {
  const path = join(hall.layout.container(row.id), 'config.json');
  const old = await readFile(path, 'utf8');
  const spec = JSON.parse(old) as Spec;
  const changed: Spec = {
    ...spec,
    linux: { ...spec.linux, resources: { ...spec.linux?.resources, ...resources } },
  };
  await writeFileAtomic(path, JSON.stringify(changed), { mode: 0o600 });
  return { restore: () => writeFileAtomic(path, old, { mode: 0o600 }) };
}
