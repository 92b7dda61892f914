import { mkdir, stat } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { SkiffError } from '../base/errors.ts';
import type { ImageRunConfig } from '../image/types.ts';
import { run } from '../os/process.ts';
import { resolveInRoot } from './rootfs-path.ts';
import type { Mount } from './types.ts';

/**
 * The image's VOLUME directories: each becomes a directory of this container
 * below `directory`, filled with what the image has at that path, owner and
 * mode included. A mount that was asked for at the same path goes before it.
 * The caller removes `directory` with the container.
 */
export async function prepareVolumes(options: {
  image: Pick<ImageRunConfig, 'volumes'>;
  mounts: readonly Mount[];
  rootfs: string;
  directory: string;
}): Promise<Mount[]> {
  const { image, mounts, rootfs, directory } = options;
  const paths = volumePaths(image.volumes, mounts);
  return Promise.all(
    paths.map(async (path, number) => {
      const hostPath = join(directory, String(number));
      try {
        await mkdir(hostPath, { recursive: true, mode: 0o755 });
        await fill(rootfs, path, hostPath);
      } catch (cause) {
        throw SkiffError.from(cause, `prepare image volume ${path}`);
      }
      return volumeMount(path, hostPath);
    }),
  );
}

/** The volumes that no mount takes the place of, as absolute paths without repetition. */
export function volumePaths(volumes: readonly string[], mounts: readonly Mount[]): string[] {
  const asked = new Set(mounts.map((mount) => posix.resolve('/', mount.containerPath)));
  const paths = new Set(volumes.map((volume) => posix.resolve('/', volume)));
  return [...paths].filter((path) => path !== '/' && !asked.has(path)).toSorted();
}

/** `cp` keeps owners, modes, times, hard links, xattrs and device nodes, which Node's own copy does not. */
async function fill(rootfs: string, path: string, target: string): Promise<void> {
  const source = await resolveInRoot(rootfs, path);
  if (source === undefined) return;
  if (!(await stat(source)).isDirectory())
    throw new SkiffError('failed_precondition', 'the image has something else than a directory there');
  const copy = await run('cp', ['-a', '--', `${source}/.`, target]);
  if (copy.code !== 0)
    throw new SkiffError('internal', `cp ended with ${copy.code}: ${copy.stderr.toString().trim()}`);
}

function volumeMount(containerPath: string, hostPath: string): Mount {
  return {
    containerPath,
    hostPath,
    readonly: false,
    recursiveReadonly: false,
    selinuxRelabel: true,
    propagation: 'private',
    uidMappings: [],
    gidMappings: [],
    image: null,
    imageSubPath: '',
    options: [],
  };
}
