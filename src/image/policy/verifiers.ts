import { join } from 'node:path';
import { messageOf } from '../../base/errors.ts';
import { namesIn } from '../../base/files.ts';
import type { Log } from '../../base/log.ts';
import { Slots } from '../../base/slots.ts';
import type { Descriptor } from '../../oci/image-spec.ts';
import { type RunResult, run } from '../../os/process.ts';
import { refusal } from './refusal.ts';

export interface VerifierSettings {
  /** Directory whose files are verifiers, '' = none. */
  binDir: string;
  /** How many of them are asked, in name order; -1 = all. */
  maxVerifiers: number;
  /** In milliseconds. */
  perVerifierTimeout: number;
}

/** What is to be pulled. */
export interface Candidate {
  /** The normalised reference. */
  name: string;
  /** Of what the registry has under it: an index or a manifest. */
  descriptor: Pick<Descriptor, 'mediaType' | 'digest' | 'size'>;
}

const DESCRIPTOR_TYPE = 'application/vnd.oci.descriptor.v1+json';
const OUTPUT_BYTES = 32_768;
/** How often one verifier runs at a time: a node that starts pulls many images at once. */
const INSTANCES = 4;

/**
 * Programs that judge what may be pulled, in the way of containerd's image
 * verifiers (containerd docs/image-verification.md): all must end with 0; what
 * they print is the reason.
 */
export class Verifiers {
  readonly #log: Log;
  readonly #slots = new Map<string, Slots>();

  constructor(deps: { log: Log }) {
    this.#log = deps.log;
  }

  /** Throws where one of the verifiers does not let `candidate` through. */
  async check(candidate: Candidate, settings: VerifierSettings, signal: AbortSignal): Promise<void> {
    if (settings.binDir === '') return;
    const programs = await this.#programs(candidate, settings);
    for (const program of programs) await this.#ask(program, candidate, settings, signal);
  }

  async #programs(candidate: Candidate, { binDir, maxVerifiers }: VerifierSettings): Promise<string[]> {
    let names: string[];
    try {
      // The contract: a directory that is not there lets everything through.
      names = (await namesIn(binDir)).sort();
    } catch (cause) {
      throw refusal(candidate.name, `the image verifiers cannot be listed: ${messageOf(cause)}`, cause);
    }
    const asked = maxVerifiers < 0 ? names : names.slice(0, maxVerifiers);
    if (asked.length < names.length)
      this.#log.warn({ skipped: names.slice(asked.length) }, 'more image verifiers than max_verifiers');
    return asked;
  }

  async #ask(
    program: string,
    candidate: Candidate,
    settings: VerifierSettings,
    signal: AbortSignal,
  ): Promise<void> {
    const { name, descriptor } = candidate;
    const slots = this.#slots.get(program) ?? new Slots(INSTANCES);
    this.#slots.set(program, slots);
    const args = ['-name', name, '-digest', descriptor.digest, '-stdin-media-type', DESCRIPTOR_TYPE];
    let result: RunResult;
    try {
      result = await slots.run(
        () =>
          run(join(settings.binDir, program), args, {
            stdin: `${JSON.stringify(descriptor)}\n`,
            signal,
            timeoutMs: settings.perVerifierTimeout,
            maxOutput: OUTPUT_BYTES + 1,
          }),
        signal,
      );
    } catch (cause) {
      signal.throwIfAborted();
      throw refusal(name, `the image verifier ${program} could not be run: ${messageOf(cause)}`, cause);
    }
    this.#judge(program, candidate, result, settings);
  }

  #judge(program: string, { name }: Candidate, result: RunResult, settings: VerifierSettings): void {
    const stderr = textOf(result.stderr);
    if (stderr !== '') this.#log.debug({ verifier: program, image: name, stderr }, 'image verifier');
    if (result.timedOut) {
      const seconds = settings.perVerifierTimeout / 1000;
      throw refusal(name, `the image verifier ${program} took longer than ${seconds} s`);
    }
    const reason = textOf(result.stdout);
    if (result.code === 0) {
      this.#log.info({ verifier: program, image: name, reason }, 'image verified');
      return;
    }
    const ended = result.code === null ? `signal ${result.signal}` : `exit code ${result.code}`;
    throw refusal(name, `the image verifier ${program} rejected it (${ended}): ${reason}`);
  }
}

function textOf(output: Buffer): string {
  const text = output.subarray(0, OUTPUT_BYTES).toString('utf8').trim();
  return output.length > OUTPUT_BYTES ? `${text} (truncated)` : text;
}
