import { configFiles, configSource, loadConfig } from '../config/load.ts';
import type { ConfigReload } from '../config/reload.ts';
import { referenceTable, tomlText } from '../config/render.ts';
import { type Table, tableOf } from '../config/shape.ts';
import type { Daemon } from './daemon.ts';
import { print } from './output.ts';

/** `skiff config default`: a file with every key, explained. */
export function configDefault(): void {
  process.stdout.write(tomlText());
}

/** `skiff config reference`: all keys as a markdown table. */
export function configReference(): void {
  print(referenceTable());
}

/** `skiff config check [FILE]`: fails with all that is wrong. */
export async function configCheck(file: string | undefined): Promise<void> {
  const source = configSource(file);
  await loadConfig(source);
  const files = await configFiles(source);
  print(files.length === 0 ? `no file ${source.file}: the defaults are used` : `valid: ${files.join(', ')}`);
}

/** `skiff config show [FILE]`: what the files come to; with --running what the daemon uses. */
export async function configShow(
  daemon: Daemon,
  file: string | undefined,
  options: { running: boolean },
): Promise<void> {
  const table = options.running
    ? ((await daemon.ops().get('/config')) as Table)
    : tableOf(await loadConfig(configSource(file)));
  process.stdout.write(tomlText(table));
}

/** `skiff config reload`: the daemon reads its files again. */
export async function configReload(daemon: Daemon): Promise<void> {
  const { applied, needRestart } = (await daemon.ops().post('/config/reload')) as ConfigReload;
  print(applied.length === 0 ? 'nothing to apply' : `applied: ${applied.join(', ')}`);
  if (needRestart.length > 0) print(`after a restart of the daemon: ${needRestart.join(', ')}`);
}
