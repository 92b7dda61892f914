import { CNI_VERSIONS } from '../../oci/cni-spec.ts';

const NEWEST = CNI_VERSIONS[CNI_VERSIONS.length - 1]!;

/** True for `major.minor.patch`, the only form of a CNI version. */
export function isVersion(text: string): boolean {
  return /^\d+\.\d+\.\d+$/.test(text);
}

/** Order of two versions: negative where `a` is the older one. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [a.split('.').map(Number), b.split('.').map(Number)];
  for (let i = 0; i < 3; i += 1) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** True where `version` has what came with `since`. */
export function atLeast(version: string, since: string): boolean {
  return compareVersions(version, since) >= 0;
}

/** Those of `versions` that this runtime speaks, oldest first, each once. */
export function spokenVersions(versions: string[]): string[] {
  const spoken = versions.filter((version) => compareVersions(version, NEWEST) <= 0);
  return [...new Set(spoken)].sort(compareVersions);
}
