import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, SkiffError } from './base/errors.ts';
import { makeDirectory } from './base/files.ts';
import { Inflight } from './base/inflight.ts';
import type { Log } from './base/log.ts';
import { findProgram } from './base/program.ts';
import type { Follow } from './base/span.ts';
import { StateStore } from './base/state-store.ts';
import { VERSION } from './base/version.ts';
import type { LiveConfig } from './config/reload.ts';
import type { Config } from './config/schema.ts';
import { tableOf } from './config/shape.ts';
import type { ContainerRow } from './container/types.ts';
import { CriServer } from './cri/server.ts';
import { Images } from './image/images.ts';
import type { ImageRow, LayerRow } from './image/types.ts';
import { Metrics } from './ops/metrics/metrics.ts';
import { MetricsServer } from './ops/metrics/server.ts';
import { OpsServer } from './ops/server.ts';
import { type CgroupDriver, detectDriver } from './os/cgroup.ts';
import { Cni } from './os/cni/cni.ts';
import { type HostFacts, readHostFacts } from './os/host-facts.ts';
import { native } from './os/native.ts';
import { OciRuntime } from './os/oci-runtime.ts';
import type { SandboxRow } from './sandbox/types.ts';
import { emitContainer } from './service/emit.ts';
import { Events } from './service/events.ts';
import { ExecSync } from './service/exec-sync.ts';
import type { Hall, HallOptions } from './service/hall.ts';
import { imageService } from './service/image-service.ts';
import { imageStore } from './service/image-store.ts';
import { LayerHolds } from './service/layer-holds.ts';
import { Layout } from './service/layout.ts';
import { runtimeOf } from './service/lookup.ts';
import { Operations } from './service/operations.ts';
import { recover } from './service/recover.ts';
import { Running } from './service/running.ts';
import { runtimeService } from './service/runtime-service.ts';
import { Stats } from './service/stats.ts';
import { streamingService } from './service/streaming.ts';
import { tally } from './service/tally.ts';
import { StreamServer, type StreamServerOptions } from './streaming/server.ts';

/** Where `ip netns` and CNI daemons look for network namespaces. */
const NETNS_DIR = '/run/netns';
/** Controllers of cgroup v2 without which limits cannot be kept. */
const NEEDED_CONTROLLERS = ['cpu', 'memory', 'pids'];

interface Parts {
  hall: Hall;
  store: StateStore;
}

/**
 * Runs the daemon until `signal` aborts: builds every part in order, finds
 * again what an earlier daemon left running, opens the doors; then disposes in
 * reverse. Containers run on.
 */
export async function runDaemon(
  options: { live: LiveConfig },
  deps: { log: Log; signal: AbortSignal },
): Promise<void> {
  const { live } = options;
  const { log, signal } = deps;
  await using disposal = new AsyncDisposableStack();
  const layout = new Layout({ root: live.current.root, state: live.current.state, netnsDir: NETNS_DIR });
  await makeDirectories(layout);
  disposal.defer(lockRoot(layout));
  const host = await readHostFacts();
  requireControllers(host, live.current, log);
  const { hall, store } = await buildHall({ live, layout, host }, log, disposal);
  await recover(hall);
  const runtime = runtimeService(hall);
  const metrics = new Metrics(
    { version: VERSION },
    { tally: () => tally(hall), operations: () => hall.operations.list() },
  );
  disposal.defer(() => metrics.close());
  const images = metrics.countPulls(imageService(hall));
  const streams = new StreamServer(streamOptions(live.current), { service: streamingService(hall), log });
  const cri = new CriServer(
    { socket: join(layout.state, 'skiff.sock') },
    {
      runtime,
      images,
      streams,
      log,
      onCall: (record) => metrics.call(record),
      follow: await startTracing(live.current, log, disposal),
    },
  );
  const ops = new OpsServer(
    { path: join(layout.state, 'ops.sock') },
    {
      api: {
        runtime,
        images,
        imageStore: imageStore(hall),
        config: () => tableOf(live.current),
        reloadConfig: () => live.reload(),
        journal: (query) => store.journal(query),
        onJournal: (listener) => store.onJournal(listener),
        operations: () => hall.operations.list(),
        metrics: () => metrics.text(),
      },
      log,
    },
  );
  live.start();
  disposal.defer(() => live.stop());
  await ops.listen();
  disposal.defer(() => ops.close());
  await serveMetrics(live.current.metrics.address, metrics, log, disposal);
  await streams.listen();
  disposal.defer(() => streams.close());
  await cri.start();
  disposal.defer(() => cri.stop());
  log.info({ version: VERSION, pid: process.pid, containers: hall.running.size }, 'skiff is ready');
  await aborted(signal);
  log.info('stopping; containers run on');
}

/** Metrics over TCP, where an address is configured. */
async function serveMetrics(
  address: string,
  metrics: Metrics,
  log: Log,
  disposal: AsyncDisposableStack,
): Promise<void> {
  if (address === '') return;
  const server = new MetricsServer({ address }, { text: () => metrics.text(), log });
  await server.listen();
  disposal.defer(() => server.close());
}

/** Traces, where a collector is configured; what they take is loaded only then. */
async function startTracing(
  { tracing }: Config,
  log: Log,
  disposal: AsyncDisposableStack,
): Promise<Follow | undefined> {
  if (tracing.endpoint === '') return undefined;
  const { OtlpTracing } = await import('./ops/tracing/otlp.ts');
  const otlp = new OtlpTracing({ ...tracing, version: VERSION }, { log });
  disposal.defer(() => otlp.close());
  return otlp.follow;
}

async function buildHall(
  options: { live: LiveConfig; layout: Layout; host: HostFacts },
  log: Log,
  disposal: AsyncDisposableStack,
): Promise<Parts> {
  const { live, layout, host } = options;
  const config = live.current;
  const store = await StateStore.open(layout.database);
  disposal.defer(() => store.close());
  const sandboxes = store.rows<SandboxRow>('sandboxes');
  const containers = store.rows<ContainerRow>('containers');
  const driver = config.cgroupDriver === 'auto' ? await detectDriver() : config.cgroupDriver;
  const runtimes = await findRuntimes(config, layout, driver, log);
  const events = new Events({}, { log });
  const holds = new LayerHolds();
  const images = new Images(
    { root: layout.root, settings: () => live.current.image },
    {
      rows: store.rows<ImageRow>('images'),
      layers: store.rows<LayerRow>('layers'),
      layersInUse: () =>
        new Set([...containers.values().flatMap((row) => row.rootfs.lowers), ...holds.held()]),
      log,
    },
  );
  disposal.defer(() => images.close());
  const cni = new Cni(
    {
      ...config.cni,
      binDirs: [...config.cni.binDirs],
      // Read anew at every use: it follows a reload.
      get confTemplate() {
        return live.current.cni.confTemplate;
      },
    },
    { log },
  );
  await cni.start();
  disposal.defer(() => cni.stop());
  const running = new Running(
    { layout },
    {
      containers,
      runtimeOf: (handler) => runtimeOf({ runtimes }, handler),
      onEnd: (row) => emitContainer({ events, sandboxes, containers }, 'stopped', row),
      log,
    },
  );
  disposal.defer(() => running.close());
  const stats = new Stats({ collectPeriodMs: config.stats.collectPeriod, stateRoot: layout.root }, { log });
  disposal.defer(() => stats.stop());
  const exec = new ExecSync(
    { stateDir: layout.state },
    { runtimes: (handler) => runtimeOf({ runtimes }, handler), log },
  );
  const hall: Hall = {
    // Read anew at every use: a reload replaces the configuration.
    get options() {
      return hallOptions(live.current, driver);
    },
    layout,
    bootId: (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim(),
    host,
    log,
    sandboxes,
    containers,
    images,
    holds,
    cni,
    runtimes,
    running,
    events,
    operations: new Operations({ log }),
    calls: { run: new Inflight<string>(), change: new Inflight<void>() },
    exec,
    stats,
    trouble: () => (runtimes.size === 0 ? noRuntime(config) : undefined),
  };
  return { hall, store };
}

function hallOptions(config: Config, cgroupDriver: CgroupDriver): HallOptions {
  return {
    cgroupDriver,
    tolerateMissingControllers: config.tolerateMissingControllers,
    absentMountSourcesToReject: [...config.container.absentMountSourcesToReject],
    unsetSeccompProfile: config.container.unsetSeccompProfile,
    maxLogLineSize: config.container.maxLogLineSize,
    killTimeoutMs: config.stop.killTimeout,
    defaultSysctls: sysctlTable(config.sandbox.defaultSysctls),
  };
}

function streamOptions({ streaming }: Config): StreamServerOptions {
  const { idleTimeout: idleTimeoutMs, creationTimeout: creationTimeoutMs, ...rest } = streaming;
  return { ...rest, idleTimeoutMs, creationTimeoutMs };
}

async function makeDirectories(layout: Layout): Promise<void> {
  for (const path of [layout.root, layout.state]) await makeDirectory(path, 0o711);
  for (const path of [layout.sandboxes, layout.containers, layout.sandboxRuns, layout.containerRuns])
    await makeDirectory(path, 0o711);
}

/** Two daemons on one root would each undo what the other makes. */
function lockRoot(layout: Layout): () => void {
  const path = join(layout.root, 'lock');
  try {
    const lock = native().flock(path);
    return () => native().close(lock);
  } catch (cause) {
    if (errnoOf(cause) !== 'EWOULDBLOCK') throw SkiffError.from(cause, `lock ${path}`);
    throw new SkiffError(
      'failed_precondition',
      `lock ${path}: another daemon uses ${layout.root}; stop that one, or give this one another root`,
      { cause },
    );
  }
}

function requireControllers(host: HostFacts, config: Config, log: Log): void {
  const missing = NEEDED_CONTROLLERS.filter((name) => !host.controllers.has(name));
  if (missing.length === 0) return;
  if (!config.tolerateMissingControllers)
    throw new SkiffError(
      'failed_precondition',
      `cgroup v2 lacks the controllers ${missing.join(', ')}: limits cannot be kept. \`skiff doctor\` says what to do; ` +
        'tolerate_missing_controllers = true goes on without limits',
    );
  log.warn(
    { missing },
    'cgroup v2 lacks controllers: limits are left out, as tolerate_missing_controllers says',
  );
}

/** The OCI runtimes that are installed, by handler; the default one also under ''. */
async function findRuntimes(
  config: Config,
  layout: Layout,
  driver: CgroupDriver,
  log: Log,
): Promise<Map<string, OciRuntime>> {
  const runtimes = new Map<string, OciRuntime>();
  for (const [name, { path: wanted }] of Object.entries(config.runtimes)) {
    const path = await findProgram(wanted);
    if (path === undefined) {
      log.info({ handler: name, path: wanted }, 'OCI runtime is not installed; its handler is left out');
      continue;
    }
    const root = join(layout.state, name);
    runtimes.set(name, new OciRuntime({ name, path, root, systemdCgroup: driver === 'systemd' }, { log }));
  }
  const byDefault = runtimes.get(config.defaultRuntime);
  if (byDefault !== undefined) runtimes.set('', byDefault);
  return runtimes;
}

function noRuntime(config: Config): SkiffError {
  return new SkiffError(
    'failed_precondition',
    `the OCI runtime "${config.defaultRuntime}" is not installed; install it or set default_runtime`,
  );
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

/** `["key=value"]` as the configuration lists them, by key. */
function sysctlTable(settings: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    settings.map((setting) => {
      const equals = setting.indexOf('=');
      return [setting.slice(0, equals), setting.slice(equals + 1)];
    }),
  );
}
