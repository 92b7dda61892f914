/** What the image room stores and tells. All plain JSON. */

/** Credentials for one pull, as CRI's AuthConfig; '' = not given. */
export interface AuthConfig {
  username: string;
  password: string;
  auth: string;
  serverAddress: string;
  identityToken: string;
  registryToken: string;
}

/** The parts of an OCI image configuration that a container needs (image-spec config.md). */
export interface ImageRunConfig {
  user: string;
  env: string[];
  entrypoint: string[];
  cmd: string[];
  workingDir: string;
  volumes: string[];
  stopSignal: string;
  labels: Record<string, string>;
}

/** An image whose layers are all whole on disk. */
export interface ImageRow {
  /** `sha256:<digest of the config>`: what PullImage returns and every status shows. */
  id: string;
  /** `docker.io/library/busybox:latest`, normalised. */
  repoTags: string[];
  /** `docker.io/library/busybox@sha256:..`. */
  repoDigests: string[];
  /** Bytes: packed layers and config, as the manifest declares them. */
  size: number;
  config: ImageRunConfig;
  /** diff ids from the base up. */
  diffIds: string[];
  architecture: string;
  os: string;
  pinned: boolean;
  /** Nanoseconds since the epoch, decimal. */
  pulledAt: string;
}

/** An unpacked layer: a directory that overlayfs takes as a lower one. */
export interface LayerRow {
  /** The diff id: digest of the uncompressed tar. */
  id: string;
  /** Short directory name below the layers directory. */
  directory: string;
  /** Bytes on disk and inodes of the unpacked tree. */
  usedBytes: number;
  inodes: number;
}

/** One event of a running pull; bytes are of the packed layer. */
export interface PullProgress {
  image: string;
  /** Digest of the packed layer, or '' for the pull as a whole. */
  layer: string;
  phase: 'resolving' | 'waiting' | 'fetching' | 'exists' | 'done' | 'failed';
  current: number;
  total: number;
}

/** Bytes and inodes below one directory, with the instant of the measure (ns since the epoch, decimal). */
export interface FilesystemUsage {
  timestamp: string;
  mountpoint: string;
  usedBytes: number;
  inodesUsed: number;
}
