import { type Command, Option } from 'commander';
import type { Daemon } from './daemon.ts';
import type { ExportOptions } from './image-store.ts';

/** The commands below `skiff images`. */
export function imageStoreCommands(
  images: Command,
  deps: {
    daemon: () => Promise<Daemon>;
    exitWith: (code: number) => void;
    examples: (...lines: string[]) => string;
  },
): void {
  const { daemon, exitWith, examples } = deps;
  images
    .command('export <image...>')
    .description('write images to a file: an OCI layout that docker load takes, too')
    .requiredOption('-o, --output <path>', 'what to write; must not be there yet')
    .option('--directory', 'an OCI layout as a directory instead', false)
    .addOption(
      new Option('--compress <how>', 'how layers are packed (default: gzip)')
        .choices(['gzip', 'zstd', 'none'])
        .default('gzip'),
    )
    .addHelpText(
      'after',
      examples('skiff images export -o web.tar web:1', 'skiff images export --directory -o layout web:1'),
    )
    .action(async (names: string[], options: ExportOptions) =>
      (await import('./image-store.ts')).exportImages(await daemon(), names, options),
    );
  images
    .command('import <path>')
    .description('take images from an OCI layout (a directory or archive) or an archive of docker save')
    .option('--name <name>', 'name of an image that has none there, or the repository of its tags', '')
    .addHelpText(
      'after',
      examples('skiff images import web.tar', 'skiff images import ./layout --name example.org/web'),
    )
    .action(async (path: string, options: { name: string }) =>
      (await import('./image-store.ts')).importImages(await daemon(), path, options),
    );
  images
    .command('check')
    .description('compare all that is stored with its digests; exit code 1 where something is damaged')
    .option('--repair', 'fetch again what is damaged and no container uses', false)
    .option('--json', 'one JSON object per part', false)
    .addHelpText('after', examples('skiff images check', 'skiff images check --repair'))
    .action(async (options: { repair: boolean; json: boolean }) =>
      exitWith(await (await import('./image-store.ts')).checkImages(await daemon(), options)),
    );
  images
    .command('du')
    .description('what images take on disk, by image and by layer, and who holds it')
    .option('--json', 'everything, as JSON', false)
    .addHelpText('after', examples('skiff images du'))
    .action(async (options: { json: boolean }) =>
      (await import('./image-store.ts')).imagesUsage(await daemon(), options),
    );
}
