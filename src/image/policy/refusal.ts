import { SkiffError } from '../../base/errors.ts';

/**
 * A pull that a policy does not let through. The kubelet knows the prefix
 * (k8s.io/cri-api pkg/errors, ErrSignatureValidationFailed) and shows it as the
 * reason of a pod that waits, so nothing may stand before it.
 */
export function refusal(name: string, why: string, cause?: unknown): SkiffError {
  return new SkiffError('permission_denied', `SignatureValidationFailed: pull ${name}: ${why}`, { cause });
}
