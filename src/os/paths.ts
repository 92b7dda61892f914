import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Absolute path of a program or library that the build made. The bundle lies
 * beside them in dist/; sources (src/os/paths.ts) find dist/ in the repository.
 */
export function artefact(name: 'skiff.node' | 'skiff-shim' | 'skiff-exec'): string {
  const here = fileURLToPath(import.meta.url);
  const dist = here.endsWith('.ts') ? join(dirname(here), '..', '..', 'dist') : dirname(here);
  return join(dist, name);
}
