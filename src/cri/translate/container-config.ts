import { isUtf8 } from 'node:buffer';
import { SkiffError } from '../../base/errors.ts';
import type { ContainerConfig, ContainerMetadata, ImageSpec, Mount } from '../../container/types.ts';
import type { ContainerConfig__Output } from '../gen/runtime/v1/ContainerConfig.ts';
import type { ContainerMetadata__Output } from '../gen/runtime/v1/ContainerMetadata.ts';
import type { ImageSpec__Output, ImageSpec as ImageSpecMessage } from '../gen/runtime/v1/ImageSpec.ts';
import type { Mount__Output, Mount as MountMessage } from '../gen/runtime/v1/Mount.ts';
import type { MountPropagation } from '../gen/runtime/v1/MountPropagation.ts';
import { fromEnum, required } from './fields.ts';
import { linuxResources } from './resources.ts';
import { containerSecurity, idMapping, idMappingMessage } from './security.ts';
import { signalName } from './signal.ts';

const PROPAGATIONS: Record<string, Mount['propagation']> = {
  PROPAGATION_PRIVATE: 'private',
  PROPAGATION_HOST_TO_CONTAINER: 'host_to_container',
  PROPAGATION_BIDIRECTIONAL: 'bidirectional',
};

const PROPAGATION_MESSAGES: Record<Mount['propagation'], MountPropagation> = {
  private: 'PROPAGATION_PRIVATE',
  host_to_container: 'PROPAGATION_HOST_TO_CONTAINER',
  bidirectional: 'PROPAGATION_BIDIRECTIONAL',
};

/** A ContainerConfig. The `windows` part is ignored: a client sends it for Windows nodes only. */
export function containerConfig(message: ContainerConfig__Output | null, path = 'config'): ContainerConfig {
  const config = required(message, path);
  return {
    metadata: containerMetadata(config.metadata, `${path}.metadata`),
    image: requiredImage(config.image, `${path}.image`),
    command: config.command,
    args: config.args,
    workingDir: config.working_dir,
    envs: config.envs.map((env, at) => ({
      key: env.key,
      value: text(env.value, `${path}.envs[${at}].value`),
    })),
    mounts: config.mounts.map(mount),
    devices: config.devices.map((device) => ({
      containerPath: device.container_path,
      hostPath: device.host_path,
      permissions: device.permissions,
    })),
    cdiDevices: config.CDI_devices.map((device) => device.name),
    labels: config.labels,
    annotations: config.annotations,
    logPath: config.log_path,
    stdin: config.stdin,
    stdinOnce: config.stdin_once,
    tty: config.tty,
    resources: linuxResources(config.linux?.resources ?? null),
    security: containerSecurity(config.linux?.security_context ?? null, `${path}.linux.security_context`),
    stopSignal: signalName(config.stop_signal),
  };
}

function containerMetadata(message: ContainerMetadata__Output | null, path: string): ContainerMetadata {
  const metadata = required(message, path);
  return { name: required(metadata.name, `${path}.name`), attempt: metadata.attempt };
}

/** An ImageSpec that must name an image. */
export function requiredImage(message: ImageSpec__Output | null, path: string): ImageSpec {
  const image = imageSpec(required(message, path));
  required(image.image, `${path}.image`);
  return image;
}

function imageSpec(message: ImageSpec__Output): ImageSpec {
  return {
    image: message.image,
    annotations: message.annotations,
    userSpecifiedImage: message.user_specified_image,
    runtimeHandler: message.runtime_handler,
    imageRef: message.image_ref,
  };
}

export function imageSpecMessage(spec: ImageSpec): ImageSpecMessage {
  return {
    image: spec.image,
    annotations: spec.annotations,
    user_specified_image: spec.userSpecifiedImage,
    runtime_handler: spec.runtimeHandler,
    image_ref: spec.imageRef,
  };
}

function mount(message: Mount__Output): Mount {
  return {
    containerPath: message.container_path,
    hostPath: message.host_path,
    readonly: message.readonly,
    recursiveReadonly: message.recursive_read_only,
    selinuxRelabel: message.selinux_relabel,
    propagation: fromEnum(PROPAGATIONS, message.propagation, 'private'),
    uidMappings: message.uidMappings.map(idMapping),
    gidMappings: message.gidMappings.map(idMapping),
    image: message.image && imageSpec(message.image),
    imageSubPath: message.image_sub_path,
    options: message.mount_options,
  };
}

export function mountMessage(m: Mount): MountMessage {
  return {
    container_path: m.containerPath,
    host_path: m.hostPath,
    readonly: m.readonly,
    recursive_read_only: m.recursiveReadonly,
    selinux_relabel: m.selinuxRelabel,
    propagation: PROPAGATION_MESSAGES[m.propagation],
    uidMappings: m.uidMappings.map(idMappingMessage),
    gidMappings: m.gidMappings.map(idMappingMessage),
    image: m.image && imageSpecMessage(m.image),
    image_sub_path: m.imageSubPath,
    mount_options: m.options,
  };
}

/** Environment values are bytes on the wire; the OCI spec is JSON, which has no form for what is not UTF-8. */
function text(bytes: Buffer, field: string): string {
  if (isUtf8(bytes)) return bytes.toString('utf8');
  throw new SkiffError('invalid_argument', `check request: ${field} is not UTF-8; encode it, as with base64`);
}
