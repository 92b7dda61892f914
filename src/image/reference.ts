import { SkiffError } from '../base/errors.ts';
import { isDigest } from './digest.ts';

/**
 * An image reference, normalised as the grammar of distribution/reference says:
 * `busybox` is `docker.io/library/busybox:latest`.
 */
export interface Reference {
  /** Registry host with its port, `docker.io` where none was named. */
  domain: string;
  /** Repository below the registry. */
  path: string;
  /** '' where a digest was given: the digest decides, a tag beside it is only a remark. */
  tag: string;
  digest: string;
}

const DEFAULT_DOMAIN = 'docker.io';
const OFFICIAL_PREFIX = 'library/';
/** docker.io is a name, not a host; the registry behind it answers here. */
const LEGACY_DOMAIN = 'index.docker.io';
/** Limit on `<domain>/<path>` in distribution/reference. */
const MAX_NAME = 255;

const DOMAIN_LABEL = '[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?';
const DOMAIN = new RegExp(
  `^(?:${DOMAIN_LABEL}(?:\\.${DOMAIN_LABEL})*|\\[[a-fA-F0-9:]+(?:%[a-zA-Z0-9]+)?\\])(?::[0-9]+)?$`,
);
const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;

/** Parses what a user or the kubelet wrote; `invalid_argument` says what is wrong with it. */
export function parseReference(text: string): Reference {
  const { rest, digest } = splitDigest(text);
  const { name, tag } = splitTag(rest, text);
  const { domain, path } = splitDomain(name);
  if (!DOMAIN.test(domain)) throw bad(text, `"${domain}" is not a registry host`);
  checkPath(path, text);
  if (domain.length + 1 + path.length > MAX_NAME)
    throw bad(text, `the name is longer than ${MAX_NAME} characters`);
  if (digest !== '') return { domain, path, tag: '', digest };
  return { domain, path, tag: tag === '' ? 'latest' : tag, digest: '' };
}

/** `<domain>/<path>` */
export function repositoryOf(reference: Reference): string {
  return `${reference.domain}/${reference.path}`;
}

/** `<domain>/<path>:<tag>` or `<domain>/<path>@<digest>`. */
export function formatReference(reference: Reference): string {
  const suffix = reference.digest === '' ? `:${reference.tag}` : `@${reference.digest}`;
  return repositoryOf(reference) + suffix;
}

function splitDigest(text: string): { rest: string; digest: string } {
  if (text === '') throw new SkiffError('invalid_argument', 'parse image reference: it is empty');
  if (/\s/.test(text)) throw bad(text, 'it holds white space');
  if (/^[0-9a-f]{64}$/.test(text)) throw bad(text, 'a name of 64 hexadecimal digits is an image id');
  if (/^[a-z]+:\/\//.test(text)) throw bad(text, 'a reference has no scheme such as https://; leave it out');
  const at = text.indexOf('@');
  if (at < 0) return { rest: text, digest: '' };
  const digest = text.slice(at + 1);
  if (!isDigest(digest)) throw bad(text, `"${digest}" is not a digest such as sha256:<64 hex digits>`);
  return { rest: text.slice(0, at), digest };
}

function splitTag(rest: string, text: string): { name: string; tag: string } {
  // A colon before the last slash belongs to a port or an IPv6 host.
  const colon = rest.indexOf(':', rest.lastIndexOf('/') + 1);
  if (colon < 0) return { name: rest, tag: '' };
  const tag = rest.slice(colon + 1);
  if (!TAG.test(tag))
    throw bad(text, `"${tag}" is not a tag: letters, digits, "_", "." and "-", at most 128`);
  return { name: rest.slice(0, colon), tag };
}

/** The first part is a host only where it looks like one: a dot, a port, `localhost`, or capital letters. */
function splitDomain(name: string): { domain: string; path: string } {
  const slash = name.indexOf('/');
  const first = name.slice(0, Math.max(slash, 0));
  const isHost = slash >= 0 && (/[.:]/.test(first) || first === 'localhost' || first.toLowerCase() !== first);
  const domain = isHost ? first : DEFAULT_DOMAIN;
  const path = isHost ? name.slice(slash + 1) : name;
  const hub = domain === LEGACY_DOMAIN ? DEFAULT_DOMAIN : domain;
  const official = hub === DEFAULT_DOMAIN && !path.includes('/');
  return { domain: hub, path: official ? OFFICIAL_PREFIX + path : path };
}

function checkPath(path: string, text: string): void {
  for (const component of path.split('/')) {
    if (component === '') throw bad(text, 'a part of the repository name is empty');
    if (component !== component.toLowerCase()) throw bad(text, 'the repository name must be lower case');
    if (!COMPONENT.test(component))
      throw bad(
        text,
        `"${component}" is not a repository name: lower-case letters and digits, separated by one of . _ __ -`,
      );
  }
}

function bad(text: string, why: string): SkiffError {
  return new SkiffError('invalid_argument', `parse image reference ${JSON.stringify(text)}: ${why}`);
}
