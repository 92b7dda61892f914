import { findProgram } from '../../src/base/program.ts';

/**
 * The absolute path of a program that only tests need: the one that scripts/tools.sh
 * brought (`SKIFF_TOOL_<NAME>`, set by scripts/test.sh), else the one on PATH.
 */
export async function tool(name: string): Promise<string> {
  const path = process.env[`SKIFF_TOOL_${name.toUpperCase()}`] ?? (await findProgram(name));
  if (path === undefined)
    throw new Error(`${name} is not here: sudo scripts/tools.sh, then eval "$(scripts/tools.sh --paths)"`);
  return path;
}
