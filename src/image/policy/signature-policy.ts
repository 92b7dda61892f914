import { readFile } from 'node:fs/promises';
import { messageOf } from '../../base/errors.ts';
import { formatReference, type Reference } from '../reference.ts';
import { refusal } from './refusal.ts';

interface Requirement {
  type: string;
}

interface Policy {
  byDefault: Requirement[];
  /** Of the transport `docker`, by scope. */
  scopes: Map<string, Requirement[]>;
}

/** Known to containers-policy.json(5), and not verifiable here. */
const SIGNED = ['signedBy', 'sigstoreSigned'];

/**
 * Holds `reference` against a containers-policy.json(5), read anew each time.
 * `insecureAcceptAnything` and `reject` are served; what asks for a signature is
 * refused, because no signature is verified here. Throws where it is not let through.
 */
export async function checkSignaturePolicy(file: string, reference: Reference): Promise<void> {
  const name = formatReference(reference);
  const policy = await readPolicy(file, name);
  const { scope, requirements } = requirementsFor(policy, reference);
  const where = `${file}, ${scope}`;
  for (const { type } of requirements) {
    if (type === 'insecureAcceptAnything') continue;
    if (type === 'reject') throw refusal(name, `the signature policy rejects it (${where})`);
    const why = SIGNED.includes(type)
      ? 'which skiff does not verify; let a program of image.verifier.bin_dir verify it and accept it here'
      : 'which is no known type';
    throw refusal(name, `the signature policy asks for "${type}" (${where}), ${why}`);
  }
}

/** The most specific scope decides: reference, repository and what is above it, host, `*.domain`, transport, default. */
function requirementsFor(
  policy: Policy,
  reference: Reference,
): { scope: string; requirements: Requirement[] } {
  for (const scope of scopesOf(reference)) {
    const requirements = policy.scopes.get(scope);
    if (requirements !== undefined) return { scope: `transports.docker."${scope}"`, requirements };
  }
  return { scope: 'default', requirements: policy.byDefault };
}

function scopesOf(reference: Reference): string[] {
  const { domain, path } = reference;
  const parts = path.split('/');
  const repositories = parts.map((_, index) => `${domain}/${parts.slice(0, parts.length - index).join('/')}`);
  const labels = domain.replace(/:\d+$/, '').split('.');
  const wildcards = labels.slice(1).map((_, index) => `*.${labels.slice(index + 1).join('.')}`);
  return [formatReference(reference), ...repositories, domain, ...wildcards, ''];
}

async function readPolicy(file: string, name: string): Promise<Policy> {
  try {
    return parsePolicy(await readFile(file, 'utf8'));
  } catch (cause) {
    throw refusal(name, `the signature policy ${file} cannot be used: ${messageOf(cause)}`, cause);
  }
}

function parsePolicy(text: string): Policy {
  const root = object(JSON.parse(text), 'it');
  const transports = root.transports === undefined ? {} : object(root.transports, 'transports');
  const docker = transports.docker === undefined ? {} : object(transports.docker, 'transports.docker');
  return {
    byDefault: requirements(root.default, 'default'),
    scopes: new Map(
      Object.entries(docker).map(([scope, value]) => [
        scope,
        requirements(value, `transports.docker."${scope}"`),
      ]),
    ),
  };
}

/** An empty list would let everything through, so the format forbids it. */
function requirements(value: unknown, key: string): Requirement[] {
  if (!Array.isArray(value) || value.length === 0)
    throw new Error(`${key} must be a list with at least one requirement`);
  return value.map((item) => {
    const { type } = object(item, `each of ${key}`);
    if (typeof type !== 'string') throw new Error(`each of ${key} must have a type`);
    return { type };
  });
}

function object(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error(`${what} must be an object`);
  return value as Record<string, unknown>;
}
