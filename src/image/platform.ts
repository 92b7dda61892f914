import { SkiffError } from '../base/errors.ts';
import type { Platform } from '../oci/image-spec.ts';

/** Node's names of architectures (process.arch) in the names of GOARCH, which images use. */
const ARCHITECTURES: Record<string, string> = {
  x64: 'amd64',
  ia32: '386',
  arm64: 'arm64',
  arm: 'arm',
  ppc64: 'ppc64le',
  s390x: 's390x',
  riscv64: 'riscv64',
  loong64: 'loong64',
};

/** The platform whose images this machine runs. */
export function hostPlatform(): Platform {
  const architecture = ARCHITECTURES[process.arch] ?? process.arch;
  return architecture === 'arm'
    ? { os: 'linux', architecture, variant: 'v7' }
    : { os: 'linux', architecture };
}

/** Parses `linux/arm64` or `linux/arm/v7`; '' is the host's own. */
export function parsePlatform(text: string): Platform {
  if (text === '') return hostPlatform();
  const [os, architecture, variant, ...more] = text.split('/');
  if (!os || !architecture || more.length > 0)
    throw new SkiffError(
      'invalid_argument',
      `parse platform "${text}": write it as linux/amd64 or linux/arm/v7`,
    );
  return variant ? { os, architecture, variant } : { os, architecture };
}

/** `linux/arm/v7` */
export function describePlatform(platform: Platform): string {
  return [platform.os, platform.architecture, platform.variant].filter(Boolean).join('/');
}

/**
 * How well an image made for `offer` runs on `host`: greater is better, null =
 * not at all. Variants of arm and amd64 are levels: a host runs its own and lower ones.
 */
export function matchRank(offer: Platform, host: Platform): number | null {
  if (offer.os !== host.os || offer.architecture !== host.architecture) return null;
  const wanted = level(host);
  const offered = level(offer);
  return offered > wanted ? null : 100 + offered;
}

function level(platform: Platform): number {
  const number = Number(/^v(\d+)/.exec(platform.variant ?? '')?.[1] ?? Number.NaN);
  if (!Number.isNaN(number)) return number;
  // What the variant is where none is given (containerd platforms/database.go, OCI image-index.md).
  if (platform.architecture === 'arm64') return 8;
  return platform.architecture === 'arm' ? 7 : 1;
}
