/**
 * Bundles the daemon with its command line, and each worker thread, into
 * dist/*.mjs, and copies what they read at run time beside them.
 */
import { cp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';
import { WORKER_SOURCES } from '../src/base/workers.ts';

const repo = join(import.meta.dirname, '..');
const dist = join(repo, 'dist');

const entries: Record<string, string> = { skiff: 'src/main.ts' };
for (const [name, path] of Object.entries(WORKER_SOURCES)) entries[name] = `src/${path}`;

await build({
  absWorkingDir: repo,
  entryPoints: Object.entries(entries).map(([out, path]) => ({ in: path, out })),
  outdir: dist,
  outExtension: { '.js': '.mjs' },
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node24',
  sourcemap: 'linked',
  // node-pty finds its own addon by a path relative to its package.
  external: ['node-pty', '*.node'],
  // CommonJS packages inside an ESM bundle call require() for Node's own modules.
  banner: {
    js: "import { createRequire as bundleRequire } from 'node:module'; const require = bundleRequire(import.meta.url);",
  },
  logLevel: 'warning',
});
await rm(join(dist, 'proto'), { recursive: true, force: true });
await cp(join(repo, 'proto'), join(dist, 'proto'), { recursive: true });
console.log((await readdir(dist)).sort().join(' '));
