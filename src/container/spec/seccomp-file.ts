import { readFile } from 'node:fs/promises';
import { endianness, release } from 'node:os';
import { isAbsolute } from 'node:path';
import { errnoOf, SkiffError } from '../../base/errors.ts';
import {
  SECCOMP_ACTIONS,
  SECCOMP_OPERATORS,
  type Seccomp,
  type SeccompAction,
  type SeccompArgument,
  type SeccompOperator,
  type SeccompSyscall,
} from '../../oci/runtime-spec.ts';

/** What a profile's conditional parts are decided by. */
export interface SeccompContext {
  /** Bounding capabilities of the container, `CAP_` names. */
  capabilities: readonly string[];
  /** As process.arch; default this process's. */
  arch?: string;
  /** `major.minor`; default this kernel's. */
  kernel?: string;
}

/** Go's names of architectures, which profiles in Docker's form use. */
const GO_ARCH: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386', ppc64: 'ppc64le' };

/** libseccomp's name of the native ABI, the key into a profile's archMap. */
const NATIVE_ABI: Readonly<Record<string, string>> = {
  x64: 'SCMP_ARCH_X86_64',
  arm64: 'SCMP_ARCH_AARCH64',
  arm: 'SCMP_ARCH_ARM',
  ppc64: endianness() === 'LE' ? 'SCMP_ARCH_PPC64LE' : 'SCMP_ARCH_PPC64',
  riscv64: 'SCMP_ARCH_RISCV64',
  loong64: 'SCMP_ARCH_LOONGARCH64',
  s390x: 'SCMP_ARCH_S390X',
};

type Json = Record<string, unknown>;

/**
 * Reads a Localhost profile: the OCI form (config-linux.md#seccomp) or Docker's
 * superset of it with `archMap`, `includes` and `excludes`. A path that is not
 * absolute, a missing file and a profile that no runtime would take are
 * `invalid_argument`, each with the place of the fault.
 */
export async function loadSeccompProfile(path: string, context: SeccompContext): Promise<Seccomp> {
  if (!isAbsolute(path))
    throw new SkiffError('invalid_argument', `load seccomp profile ${path}: the path must be absolute`);
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    if (errnoOf(cause) !== 'ENOENT') throw SkiffError.from(cause, `load seccomp profile ${path}`);
    throw new SkiffError('invalid_argument', `load seccomp profile ${path}: no such file on this node`);
  });
  try {
    return parseSeccompProfile(text, context);
  } catch (cause) {
    throw SkiffError.from(cause, `load seccomp profile ${path}`, 'invalid_argument');
  }
}

/** The profile that `text` holds, in OCI form; throws an Error that names the place of a fault. */
export function parseSeccompProfile(text: string, context: SeccompContext): Seccomp {
  const profile = object(JSON.parse(text), 'the profile');
  const syscalls = list(profile.syscalls, 'syscalls').map((entry, i) => object(entry, `syscalls[${i}]`));
  return {
    defaultAction: oneOf(SECCOMP_ACTIONS, profile.defaultAction, 'defaultAction') as SeccompAction,
    ...optionalNumber(profile, 'defaultErrnoRet', 'defaultErrnoRet'),
    architectures: architecturesOf(profile, context.arch ?? process.arch),
    ...(profile.flags === undefined ? {} : { flags: strings(profile.flags, 'flags') }),
    ...optionalString(profile, 'listenerPath'),
    ...optionalString(profile, 'listenerMetadata'),
    syscalls: syscalls.flatMap((entry, i) =>
      applies(entry, context) ? [syscallOf(entry, `syscalls[${i}]`)] : [],
    ),
  };
}

function syscallOf(entry: Json, place: string): SeccompSyscall {
  const single = typeof entry.name === 'string' && entry.name !== '' ? [entry.name] : [];
  const names = [...single, ...strings(entry.names, `${place}.names`)];
  if (names.length === 0) throw new Error(`${place} names no system call`);
  const args = list(entry.args, `${place}.args`).map((arg, i) => argumentOf(arg, `${place}.args[${i}]`));
  return {
    names,
    action: oneOf(SECCOMP_ACTIONS, entry.action, `${place}.action`) as SeccompAction,
    ...optionalNumber(entry, 'errnoRet', `${place}.errnoRet`),
    ...(args.length === 0 ? {} : { args }),
  };
}

function argumentOf(value: unknown, place: string): SeccompArgument {
  const arg = object(value, place);
  const index = numberOf(arg.index, `${place}.index`);
  if (index > 5) throw new Error(`${place}.index is ${index}, a system call has arguments 0 to 5`);
  return {
    index,
    value: numberOf(arg.value, `${place}.value`),
    ...optionalNumber(arg, 'valueTwo', `${place}.valueTwo`),
    op: oneOf(SECCOMP_OPERATORS, arg.op, `${place}.op`) as SeccompOperator,
  };
}

/** `architectures`, or the entry of Docker's `archMap` for this machine with its other ABIs. */
function architecturesOf(profile: Json, arch: string): string[] {
  const given = strings(profile.architectures, 'architectures');
  const map = list(profile.archMap, 'archMap').map((entry, i) => object(entry, `archMap[${i}]`));
  if (given.length > 0 && map.length > 0) throw new Error('both architectures and archMap are set, keep one');
  const own = map.find((entry) => entry.architecture === NATIVE_ABI[arch]);
  if (own === undefined) return given;
  return [String(own.architecture), ...strings(own.subArchitectures, 'archMap.subArchitectures')];
}

/** True where Docker's `includes` of an entry hold and its `excludes` do not; without them it always applies. */
function applies(entry: Json, context: SeccompContext): boolean {
  const includes = conditions(entry.includes);
  const excludes = conditions(entry.excludes);
  const arch = context.arch ?? process.arch;
  const goArch = GO_ARCH[arch] ?? arch;
  const holds = (name: string) => context.capabilities.includes(name);
  if (includes.caps.length > 0 && !includes.caps.every(holds)) return false;
  if (includes.arches.length > 0 && !includes.arches.includes(goArch)) return false;
  if (includes.minKernel !== '' && !kernelAtLeast(context, includes.minKernel)) return false;
  if (excludes.caps.some(holds) || excludes.arches.includes(goArch)) return false;
  return excludes.minKernel === '' || !kernelAtLeast(context, excludes.minKernel);
}

function conditions(value: unknown): { caps: string[]; arches: string[]; minKernel: string } {
  if (value === undefined || value === null) return { caps: [], arches: [], minKernel: '' };
  const filter = object(value, 'includes or excludes');
  return {
    caps: strings(filter.caps, 'caps'),
    arches: strings(filter.arches, 'arches'),
    minKernel: typeof filter.minKernel === 'string' ? filter.minKernel : '',
  };
}

function kernelAtLeast(context: SeccompContext, wanted: string): boolean {
  const [major = 0, minor = 0] = (context.kernel ?? release())
    .split('.')
    .map((part) => Number.parseInt(part, 10));
  const [wantedMajor = 0, wantedMinor = 0] = wanted.split('.').map((part) => Number.parseInt(part, 10));
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}

function object(value: unknown, place: string): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error(`${place} is not an object`);
  return value as Json;
}

function list(value: unknown, place: string): unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new Error(`${place} is not a list`);
  return value;
}

function strings(value: unknown, place: string): string[] {
  return list(value, place).map((item) => {
    if (typeof item !== 'string' || item === '') throw new Error(`${place} holds something else than names`);
    return item;
  });
}

function numberOf(value: unknown, place: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
    throw new Error(`${place} is not a whole number below 2^53`);
  return value;
}

function oneOf(known: readonly string[], value: unknown, place: string): string {
  if (typeof value !== 'string' || !known.includes(value))
    throw new Error(`${place} is ${JSON.stringify(value)}, want one of ${known.join(', ')}`);
  return value;
}

function optionalNumber<K extends string>(source: Json, key: K, place: string): { [P in K]?: number } {
  if (source[key] === undefined || source[key] === null) return {};
  return { [key]: numberOf(source[key], place) } as { [P in K]?: number };
}

function optionalString<K extends string>(source: Json, key: K): { [P in K]?: string } {
  return typeof source[key] === 'string' ? ({ [key]: source[key] } as { [P in K]?: string }) : {};
}
