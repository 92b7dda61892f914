import { join } from 'node:path';

/**
 * Where things are on disk. `root` survives a reboot, `state` does not: it is
 * on a tmpfs and holds sockets, mount points and what the runtime keeps.
 */
export class Layout {
  readonly root: string;
  readonly state: string;
  readonly netnsDir: string;

  constructor(options: { root: string; state: string; netnsDir: string }) {
    this.root = options.root;
    this.state = options.state;
    this.netnsDir = options.netnsDir;
  }

  get database(): string {
    return join(this.root, 'skiff.db');
  }
  get sandboxes(): string {
    return join(this.root, 'sandboxes');
  }
  get containers(): string {
    return join(this.root, 'containers');
  }
  get sandboxRuns(): string {
    return join(this.state, 'sandboxes');
  }
  get containerRuns(): string {
    return join(this.state, 'containers');
  }

  /** resolv.conf, hosts, hostname. */
  sandbox(id: string): string {
    return join(this.sandboxes, id);
  }
  /** Pinned ipc and uts namespaces, shm. */
  sandboxRun(id: string): string {
    return join(this.sandboxRuns, id);
  }
  shm(id: string): string {
    return join(this.sandboxRun(id), 'shm');
  }
  /** Pid of the init of a shared PID namespace. */
  initPidFile(id: string): string {
    return join(this.sandboxRun(id), 'init.pid');
  }
  /** The OCI bundle: config.json; beside it upper, work, volumes and the exit record. */
  container(id: string): string {
    return join(this.containers, id);
  }
  /** The shim's socket, the mounted rootfs, pid files. */
  containerRun(id: string): string {
    return join(this.containerRuns, id);
  }
  exitFile(id: string): string {
    return join(this.container(id), 'exit');
  }
  rootfs(id: string): { upper: string; work: string; merged: string } {
    return {
      upper: join(this.container(id), 'upper'),
      work: join(this.container(id), 'work'),
      merged: join(this.containerRun(id), 'rootfs'),
    };
  }
  /** The network namespace of a sandbox, where `ip netns` and CNI daemons look. */
  netns(id: string): string {
    return join(this.netnsDir, `skiff-${id.slice(0, 16)}`);
  }
}
