import type { AuthConfig, ImageRow } from '../../image/types.ts';
import type { ImageFsInfo } from '../../service/api.ts';
import type { AuthConfig__Output } from '../gen/runtime/v1/AuthConfig.ts';
import type { Image } from '../gen/runtime/v1/Image.ts';
import type { ImageFsInfoResponse } from '../gen/runtime/v1/ImageFsInfoResponse.ts';
import { filesystemUsage } from './stats.ts';

export function imageMessage(row: ImageRow): Image {
  return {
    id: row.id,
    repo_tags: row.repoTags,
    repo_digests: row.repoDigests,
    size: row.size,
    ...imageUser(row.config.user),
    spec: { image: row.id },
    pinned: row.pinned,
  };
}

/**
 * The user of an image configuration (`uid`, `uid:gid`, `name`, `name:group`) as the kubelet takes it for
 * runAsNonRoot: a number or a name, neither where the image has none.
 */
function imageUser(user: string): Pick<Image, 'uid' | 'username'> {
  const name = user.split(':')[0] ?? '';
  return /^\d{1,18}$/.test(name) ? { uid: { value: name } } : { username: name };
}

/** Verbose facts of an image in the shape of its configuration (image-spec config.md). */
export function imageInfo(row: ImageRow): Record<string, unknown> {
  const { config } = row;
  return {
    imageSpec: {
      architecture: row.architecture,
      os: row.os,
      config: {
        User: config.user,
        Env: config.env,
        Entrypoint: config.entrypoint,
        Cmd: config.cmd,
        WorkingDir: config.workingDir,
        Volumes: Object.fromEntries(config.volumes.map((path) => [path, {}])),
        StopSignal: config.stopSignal,
        Labels: config.labels,
      },
      rootfs: { type: 'layers', diff_ids: row.diffIds },
    },
    pulledAt: row.pulledAt,
  };
}

/** Credentials of a pull; null where none of the fields holds anything. */
export function authConfig(message: AuthConfig__Output | null): AuthConfig | null {
  if (message === null) return null;
  const auth = {
    username: message.username,
    password: message.password,
    auth: message.auth,
    serverAddress: message.server_address,
    identityToken: message.identity_token,
    registryToken: message.registry_token,
  };
  return Object.values(auth).every((value) => value === '') ? null : auth;
}

export function imageFsInfo(info: ImageFsInfo): ImageFsInfoResponse {
  return {
    image_filesystems: info.imageFilesystems.map(filesystemUsage),
    container_filesystems: info.containerFilesystems.map(filesystemUsage),
  };
}
