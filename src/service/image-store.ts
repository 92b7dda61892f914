import type { ImageStoreApi, ImageStoreUsage } from './api.ts';
import type { Hall } from './hall.ts';

/** Stored images: their use of the disk, their state, and their way in and out as files. */
export function imageStore(hall: Hall): ImageStoreApi {
  return {
    usage: () => usage(hall),
    check: (call, options) => hall.images.check(options, call.signal),
    export: (call, options) => hall.images.export(options, call.signal),
    import: (call, options, progress) => hall.images.import(options, { signal: call.signal, progress }),
  };
}

function usage(hall: Hall): ImageStoreUsage {
  const { layers, ...rest } = hall.images.breakdown();
  const rows = hall.containers.values();
  const users = (directory: string) =>
    rows.filter((row) => row.rootfs.lowers.includes(directory)).map((row) => row.id);
  return { ...rest, layers: layers.map((layer) => ({ ...layer, containers: users(layer.directory) })) };
}
