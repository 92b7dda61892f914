/** The suites of the test command: what each runs, where, and how long it may take. */

export interface Suite {
  name: string;
  what: string;
  /** Seconds that it should take at most on a warm machine; past twice that it is ended and counts as failed. */
  budget: number;
  /** Seconds for one file or command. */
  each: number;
  /** Test files, each run by a Node of its own; or ... */
  files?: string;
  /** ... commands, each one test, by name. */
  commands?: Record<string, string[]>;
  /** Every file gets a scripts/private.sh of its own, so files never see each other's mounts and processes. */
  private: boolean;
  /** Files at once. */
  parallel: number;
  /** Runs only with --all or by name. */
  extra: boolean;
}

const CHECKED = { private: false, parallel: 2, extra: false } as const;
const IN_PRIVATE = { private: true, parallel: 2, extra: false } as const;

export const SUITES: Suite[] = [
  {
    name: 'check',
    what: 'format, lint, types, who imports whom (npm run check)',
    budget: 60,
    each: 60,
    commands: { 'npm run check': ['node', '--run', 'check'] },
    ...CHECKED,
  },
  {
    name: 'native',
    what: 'C tests of the system calls and of the shim',
    budget: 90,
    each: 120,
    commands: { 'make -C native test': ['make', '-C', 'native', 'test'] },
    ...IN_PRIVATE,
  },
  {
    name: 'unit',
    what: 'no root, no kernel objects',
    budget: 90,
    each: 60,
    files: 'test/unit/**/*.test.ts',
    ...CHECKED,
  },
  {
    name: 'integration',
    what: 'one adapter against the real kernel, runc, registry or CNI plugins',
    budget: 300,
    each: 120,
    files: 'test/integration/**/*.test.ts',
    ...IN_PRIVATE,
  },
  {
    name: 'e2e',
    what: 'the daemon as a process, over its sockets',
    budget: 360,
    each: 300,
    files: 'test/e2e/**/*.test.ts',
    ...IN_PRIVATE,
  },
  {
    name: 'e2e-long',
    what: 'streams on the wire and under load: figures that a busy machine moves',
    budget: 180,
    each: 150,
    files: 'test/e2e-long/**/*.test.ts',
    ...IN_PRIVATE,
    parallel: 1,
    extra: true,
  },
  {
    name: 'lab',
    what: 'limits, OOM, statistics and cgroup parents in a machine with every controller',
    budget: 180,
    each: 240,
    commands: {
      'lab under cgroupfs': ['scripts/lab.sh', 'run', '--init', 'script', 'scripts/lab/tests.sh'],
      'lab under systemd': ['scripts/lab.sh', 'run', '--init', 'systemd', 'scripts/lab/tests.sh'],
    },
    ...CHECKED,
    parallel: 1,
    // Building its kernel from nothing has not been measured on a quiet machine yet.
    extra: true,
  },
  {
    name: 'bench-smoke',
    what: 'the measurements run, a few rounds of each',
    budget: 120,
    each: 120,
    files: 'test/bench/**/*.test.ts',
    ...IN_PRIVATE,
    parallel: 1,
  },
];
