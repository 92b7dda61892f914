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
  /** Digests of the documents kept in the blob store: config, manifest and, where there was one, the index. */
  blobs: string[];
  /** Id of the layer row of this chain's thin directory (`chain:sha256:..`), null where none is needed. */
  thin: string | null;
  pinned: boolean;
  /** Nanoseconds since the epoch, decimal. */
  pulledAt: string;
}

/** An unpacked layer: a directory that overlayfs takes as a lower one. */
export interface LayerRow {
  /** The diff id: digest of the uncompressed tar. `chain:sha256:..` for the thin directory of a chain. */
  id: string;
  /** Short directory name below the layers directory. */
  directory: string;
  /** Bytes on disk and inodes of the unpacked tree and its recipe. */
  usedBytes: number;
  inodes: number;
  /**
   * Directories that the archive uses but does not name, '' for its root; relative,
   * one character per byte (latin1), because names need not be UTF-8.
   */
  implicitDirs: string[];
  /** Its archive can be put together again, byte for byte (layer/recipe.ts). */
  recipe: boolean;
  /** Its root is opaque: layers below it are not part of the image. */
  opaqueRoot: boolean;
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

/** What our own configuration says of one registry. */
export interface RegistryHost {
  /** Speak http. Loopback hosts are tried so without being named. */
  plainHttp: boolean;
  /** Accept any certificate. */
  skipVerify: boolean;
  /** PEM file with authorities beside those of the system, '' = none. */
  caFile: string;
  /** Credentials for pulls that bring none; '' = not given. `auth` is base64 of user:password. */
  username: string;
  password: string;
  auth: string;
  identityToken: string;
}

/** By host with its port, as references name it. */
export type RegistryConfig = Readonly<Record<string, Readonly<RegistryHost>>>;
