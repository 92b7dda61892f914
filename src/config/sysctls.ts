import type { Config } from './schema.ts';

/** `sandbox.default_sysctls` by name; of a name that is there twice the last value counts. */
export function defaultSysctls(config: Config): Record<string, string> {
  return Object.fromEntries(
    config.sandbox.defaultSysctls.map((setting) => {
      const at = setting.indexOf('=');
      return [setting.slice(0, at), setting.slice(at + 1)];
    }),
  );
}
