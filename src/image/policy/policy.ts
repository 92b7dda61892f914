import type { Log } from '../../base/log.ts';
import type { Reference } from '../reference.ts';
import { checkSignaturePolicy } from './signature-policy.ts';
import { type Candidate, type VerifierSettings, Verifiers } from './verifiers.ts';

/** What our configuration says of which images may come in; read at the start of each pull. */
export interface PolicySettings {
  /** A containers-policy.json(5), '' = none. */
  signaturePolicy: string;
  verifier: VerifierSettings;
}

/** Decides which images may be pulled. */
export class ImagePolicy {
  readonly #verifiers: Verifiers;

  constructor(deps: { log: Log }) {
    this.#verifiers = new Verifiers(deps);
  }

  /** By its name, before the registry is asked. Throws where it may not come in. */
  async admit(reference: Reference, { signaturePolicy }: PolicySettings): Promise<void> {
    if (signaturePolicy !== '') await checkSignaturePolicy(signaturePolicy, reference);
  }

  /** By what the registry has under its name, before a layer is fetched. Throws where it may not come in. */
  verify(candidate: Candidate, settings: PolicySettings, signal: AbortSignal): Promise<void> {
    return this.#verifiers.check(candidate, settings.verifier, signal);
  }
}
