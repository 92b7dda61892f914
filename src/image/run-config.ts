import type { ImageConfig } from '../oci/image-spec.ts';
import type { ImageRunConfig } from './types.ts';

/** What a container needs of an image configuration; absent fields become empty ones. */
export function runConfigOf(config: ImageConfig): ImageRunConfig {
  const run = config.config ?? {};
  return {
    user: run.User ?? '',
    env: run.Env ?? [],
    entrypoint: run.Entrypoint ?? [],
    cmd: run.Cmd ?? [],
    workingDir: run.WorkingDir ?? '',
    volumes: Object.keys(run.Volumes ?? {}),
    stopSignal: run.StopSignal ?? '',
    labels: run.Labels ?? {},
  };
}
