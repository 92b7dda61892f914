import * as v from 'valibot';
import { LOG_LEVELS } from '../base/log.ts';
import {
  absolutePath,
  duration,
  flag,
  key,
  list,
  matching,
  named,
  oneOf,
  section,
  text,
  whole,
} from './fields.ts';

/**
 * The one description of skiff's configuration: keys, types, defaults, what
 * each means, and whether a running daemon takes a change over. Validation, the
 * Config type, `skiff config default` and the table of the README come from it.
 * Names are those of containerd and CRI-O where they have the same thing.
 */

const runtime = v.object(
  {
    path: key(text('the name or absolute path of a program'), '', {
      description: 'OCI runtime program: an absolute path, or a name that is looked up in PATH.',
    }),
  },
  'a table',
);

const registry = v.object(
  {
    plain_http: key(flag(), false, { description: 'Speak HTTP without TLS to this registry.' }),
    skip_verify: key(flag(), false, { description: 'Accept any TLS certificate.' }),
    ca_file: key(text('the path of a PEM file'), '', {
      description: 'PEM file with the certificate authorities to trust beside those of the system.',
    }),
    username: key(text(), '', { description: 'User for pulls that bring no credentials of their own.' }),
    password: key(text(), '', { description: 'Password of that user.', secret: true }),
    auth: key(text('base64 of user:password'), '', {
      description: 'User and password in one, as base64 of user:password.',
      secret: true,
    }),
    identity_token: key(text(), '', {
      description: 'Refresh token, for which the token server of the registry gives bearer tokens.',
      secret: true,
    }),
  },
  'a table',
);

export const schema = v.object(
  {
    root: key(absolutePath(), '/var/lib/skiff', {
      description: 'Directory of what must outlive a reboot: database, images, layers, containers.',
    }),
    state: key(absolutePath(), '/run/skiff', {
      description:
        'Directory of what ends with the boot: the sockets skiff.sock (CRI) and ops.sock, mounts, runtime state.',
    }),
    cgroup_driver: key(oneOf(['auto', 'systemd', 'cgroupfs']), 'auto', {
      description:
        'Who makes cgroups. "auto" is systemd where /run/systemd/system exists. The kubelet asks for it and follows.',
    }),
    tolerate_missing_controllers: key(flag(), false, {
      description:
        'Start although cgroup v2 lacks cpu, memory or pids: limits are then left out with a warning, statistics carry what there is.',
    }),
    default_runtime: key(text('the name of a table below [runtimes]'), 'runc', {
      description: 'Runtime handler of pods that name none.',
    }),
    log: section(
      {
        level: key(oneOf(LOG_LEVELS), 'info', {
          description: 'Least severity that is logged.',
          reloadable: true,
        }),
      },
      "The daemon's own log: JSON lines on stderr.",
    ),
    runtimes: key(
      named(runtime, 'tables named after runtime handlers'),
      { runc: { path: 'runc' }, crun: { path: 'crun' } },
      { description: 'OCI runtimes by RuntimeClass handler name. One that is not installed is left out.' },
    ),
    cni: section(
      {
        conf_dir: key(absolutePath(), '/etc/cni/net.d', {
          description: 'Directory of network configurations; changes in it take effect at once.',
        }),
        bin_dirs: key(list(absolutePath(), 'a list of absolute paths'), ['/opt/cni/bin', '/usr/lib/cni'], {
          description: 'Directories in which plugins are looked for, in order.',
        }),
        conf_template: key(text('a path'), '', {
          description:
            'File with a configuration, {{.PodCIDR}}, {{.PodCIDRRanges}} and {{.Routes}} in it, that is written to conf_dir when the kubelet tells the ranges of pod addresses; "" = none.',
          reloadable: true,
        }),
        max_conf_num: key(whole(0, 1000), 1, {
          description: 'How many configurations of conf_dir are used, in name order; 0 = all.',
        }),
      },
      'Pod networks.',
    ),
    image: section(
      {
        platform: key(text('a platform such as "linux/amd64"'), '', {
          description: 'Platform picked from an image index, such as "linux/arm64/v8"; "" = this host\'s.',
        }),
        max_concurrent_downloads: key(whole(1, 64), 3, {
          description: 'Layers that one pull fetches side by side.',
          reloadable: true,
        }),
        max_concurrent_downloads_per_registry: key(whole(1, 256), 12, {
          description: 'Layers that all pulls from one registry together fetch side by side.',
          reloadable: true,
        }),
        pull_progress_timeout: key(duration(), '5m', {
          description: 'A pull that gets no byte for so long fails; "0s" = never.',
          reloadable: true,
        }),
        pinned: key(list(text('a name'), 'a list of image names'), [], {
          description:
            'Images that the kubelet is not to remove when the disk fills, by their full names, "*" for anything, such as "registry.k8s.io/pause:*".',
          reloadable: true,
        }),
        config_path: key(text('directories separated by ":"'), '/etc/skiff/certs.d', {
          description:
            'Directories with a directory per registry ("host", "host_port_", "_default"), whose hosts.toml names its mirrors and certificates, in the format of containerd; separated by ":". Read for each pull. "" = none.',
          reloadable: true,
        }),
        global_auth_file: key(text('the path of a file'), '', {
          description:
            'Docker configuration file (auths, credHelpers, credsStore) with the credentials of pulls that bring none; read for each pull. "" = none.',
          reloadable: true,
        }),
        signature_policy: key(text('the path of a file'), '', {
          description:
            'Policy file in the format of containers-policy.json(5): which images may be pulled ("insecureAcceptAnything", "reject"; what asks for signatures is refused, because none is verified here). "" = all.',
          reloadable: true,
        }),
        verifier: section(
          {
            bin_dir: key(text('a directory'), '', {
              description:
                'Directory of programs that judge each image before its layers are fetched, called as the image verifiers of containerd; "" = none.',
              reloadable: true,
            }),
            max_verifiers: key(whole(-1, 1000), 10, {
              description: 'How many of them are asked, in name order; -1 = all.',
              reloadable: true,
            }),
            per_verifier_timeout: key(duration(), '10s', {
              description: 'A verifier that takes longer refuses the image; "0s" = never.',
              reloadable: true,
            }),
          },
          'Who else decides which images may be pulled.',
        ),
        registries: key(
          named(registry, 'tables named after registry hosts'),
          {},
          {
            description:
              'Settings by registry host, "host" or "host:port", for what config_path does not say. Credentials in a drop-in file of mode 0600 are kept from other users.',
            reloadable: true,
            example: '[image.registries."registry.example:5000"]\nplain_http = true',
          },
        ),
      },
      'Images and registries.',
    ),
    sandbox: section(
      {
        default_sysctls: key(
          list(matching(/^[\w./-]+=.+$/, 'a text such as "net.core.somaxconn=1024"'), 'a list of texts'),
          ['net.ipv4.ip_unprivileged_port_start=0', 'net.ipv4.ping_group_range=0 2147483647'],
          {
            description:
              'Sysctls of pods with a network of their own, unless the pod says otherwise. Those of the default let every process bind ports below 1024 and ping.',
            reloadable: true,
          },
        ),
      },
      'Pod sandboxes.',
    ),
    container: section(
      {
        max_log_line_size: key(whole(256, 1_048_576), 16_384, {
          description: 'Bytes after which a line of output is split in the log (tags P and F).',
          reloadable: true,
        }),
        absent_mount_sources_to_reject: key(list(absolutePath(), 'a list of absolute paths'), [], {
          description:
            'Host paths that a mount must not create: a container that mounts one that is absent fails.',
          reloadable: true,
        }),
        unset_seccomp_profile: key(
          matching(
            /^(|unconfined|runtime\/default|localhost\/.+)$/,
            'one of "", "unconfined", "runtime/default", "localhost/<path>"',
          ),
          '',
          {
            description: 'Seccomp profile of containers whose pod sets none; "" is "unconfined".',
            reloadable: true,
          },
        ),
      },
      'Containers.',
    ),
    streaming: section(
      {
        address: key(
          matching(/^(\[[\da-fA-F:]+\]|[^:\s]*):\d{1,5}$/, 'a text such as "127.0.0.1:0"'),
          '127.0.0.1:0',
          {
            description:
              'Where clients of exec, attach and port-forward connect; port 0 is any that is free.',
          },
        ),
        tls: key(flag(), false, {
          description: 'Serve TLS there, with the key pair below or with one that is made at every start.',
        }),
        tls_cert_file: key(text('the path of a PEM file'), '', {
          description: 'PEM file with the certificate, and those between it and its authority.',
        }),
        tls_key_file: key(text('the path of a PEM file'), '', { description: 'PEM file with its key.' }),
        idle_timeout: key(duration(), '4h', {
          description: 'A connection on which nothing moves for so long is closed; "0s" = never.',
        }),
        creation_timeout: key(duration(), '30s', {
          description: 'How long a client may take to open its streams.',
        }),
      },
      'Exec, attach and port-forward.',
    ),
    metrics: section(
      {
        address: key(
          matching(/^(|(\[[\da-fA-F:]+\]|[^:\s]*):\d{1,5})$/, 'a text such as "127.0.0.1:9338", or ""'),
          '',
          {
            description:
              'Where Prometheus finds /metrics over HTTP, for whoever reaches the address; "" = only on ops.sock.',
          },
        ),
      },
      'Metrics.',
    ),
    tracing: section(
      {
        endpoint: key(
          matching(/^(|(https?:\/\/)?[^\s/]+:\d{1,5})$/, 'a text such as "127.0.0.1:4317", or ""'),
          '',
          {
            description:
              'Collector that takes OpenTelemetry traces by OTLP over gRPC: host:port, or "https://host:port" for TLS; "" = no traces.',
          },
        ),
        sampling_rate_per_million: key(whole(0, 1_000_000), 0, {
          description:
            'How many of a million calls are traced that are part of no trace; those that the kubelet traces always are.',
        }),
      },
      'Traces.',
    ),
    stop: section(
      {
        kill_timeout: key(duration(), '10s', {
          description:
            'How long a stop waits for the end of a process after SIGKILL; then it fails and the kubelet tries again.',
          reloadable: true,
        }),
      },
      'Stopping containers.',
    ),
    stats: section(
      {
        collect_period: key(duration(), '10s', {
          description: 'How often CPU use and the disk use of writable layers are sampled.',
        }),
      },
      'Statistics.',
    ),
  },
  'a table',
);

type Camel<S extends string> = S extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<Camel<Tail>>}`
  : S;

type CamelKeys<T> = T extends readonly (infer Item)[]
  ? readonly Item[]
  : T extends object
    ? { readonly [K in keyof T as K extends string ? Camel<K> : never]: CamelKeys<T[K]> }
    : T;

/** The configuration in force: frozen, keys in camelCase, durations in milliseconds. */
export type Config = CamelKeys<v.InferOutput<typeof schema>>;
