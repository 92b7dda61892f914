import { SkiffError } from '../base/errors.ts';
import type { CniBandwidth } from '../oci/cni-spec.ts';

/** Powers of the suffixes of a Kubernetes quantity. */
const SUFFIXES: Record<string, number> = {
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
};

/** Burst in bits: not bounded, as Kubernetes names only a rate; the largest that the plugin takes. */
const BURST = 2 ** 32 - 1;

/** The range that Kubernetes allows, in bits per second. */
const [LEAST, MOST] = [1e3, 1e15];

/** The pod's bandwidth from `kubernetes.io/ingress-bandwidth` and `.../egress-bandwidth`, null where neither is given. */
export function podBandwidth(annotations: Record<string, string>): CniBandwidth | null {
  const ingress = rate(annotations, 'kubernetes.io/ingress-bandwidth');
  const egress = rate(annotations, 'kubernetes.io/egress-bandwidth');
  if (ingress === null && egress === null) return null;
  return {
    ...(ingress === null ? {} : { ingressRate: ingress, ingressBurst: BURST }),
    ...(egress === null ? {} : { egressRate: egress, egressBurst: BURST }),
  };
}

function rate(annotations: Record<string, string>, key: string): number | null {
  const text = annotations[key];
  if (text === undefined) return null;
  const match = /^\+?(\d+(?:\.\d*)?|\.\d+)(?:[eE]([+-]?\d+)|([kMGTP]i?|Ki)?)$/.exec(text);
  const factor = match?.[2] === undefined ? SUFFIXES[match?.[3] ?? ''] : 10 ** Number(match[2]);
  if (match === null || factor === undefined)
    throw new SkiffError('invalid_argument', `annotation ${key}: "${text}" is not a quantity such as 10M`);
  const value = Math.ceil(Number(match[1]) * factor);
  if (value < LEAST || value > MOST)
    throw new SkiffError('invalid_argument', `annotation ${key}: "${text}" is not between 1k and 1P bit/s`);
  return value;
}
