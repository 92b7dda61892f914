import { Slots } from '../../base/slots.ts';

/** The bound on what all pulls from one registry fetch side by side. */
export class RegistrySlots {
  readonly #byRegistry = new Map<string, { limit: number; slots: Slots }>();

  /** Those of the registry `domain`. A limit that has changed counts for what comes from then on. */
  of(domain: string, limit: number): Slots {
    const known = this.#byRegistry.get(domain);
    if (known?.limit === limit) return known.slots;
    const slots = new Slots(limit);
    this.#byRegistry.set(domain, { limit, slots });
    return slots;
  }
}
