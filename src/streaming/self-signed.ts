import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { isIPv4, isIPv6 } from 'node:net';

/** PEM texts. */
export interface KeyPair {
  key: string;
  cert: string;
}

const VALID_YEARS = 10;
const NAME = 'skiff streaming';

/** Tags of DER (X.690). */
const TAG = {
  INTEGER: 0x02,
  BIT_STRING: 0x03,
  OCTET_STRING: 0x04,
  OID: 0x06,
  UTF8_STRING: 0x0c,
  GENERALIZED_TIME: 0x18,
  SEQUENCE: 0x30,
  SET: 0x31,
  DNS_NAME: 0x82,
  IP_ADDRESS: 0x87,
  VERSION: 0xa0,
  EXTENSIONS: 0xa3,
} as const;

/** Object identifiers, encoded. */
const OID = {
  ECDSA_WITH_SHA256: '2a8648ce3d040302',
  COMMON_NAME: '550403',
  SUBJECT_ALT_NAME: '551d11',
} as const;

/** A fresh key with a certificate (RFC 5280) that it signs itself, for the given host names and addresses. */
export function selfSigned(hosts: readonly string[], now = new Date()): KeyPair {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const algorithm = der(TAG.SEQUENCE, oid(OID.ECDSA_WITH_SHA256));
  const name = der(
    TAG.SEQUENCE,
    der(TAG.SET, der(TAG.SEQUENCE, oid(OID.COMMON_NAME), der(TAG.UTF8_STRING, Buffer.from(NAME)))),
  );
  const serial = randomBytes(16);
  // Positive, and its first byte is not zero.
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  const tbs = der(
    TAG.SEQUENCE,
    der(TAG.VERSION, der(TAG.INTEGER, Buffer.of(2))),
    der(TAG.INTEGER, serial),
    algorithm,
    name,
    validity(now),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(TAG.EXTENSIONS, der(TAG.SEQUENCE, subjectAltName(hosts))),
  );
  const signature = sign('sha256', tbs, privateKey);
  const certificate = der(TAG.SEQUENCE, tbs, algorithm, der(TAG.BIT_STRING, Buffer.of(0), signature));
  return { key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), cert: pem(certificate) };
}

function validity(now: Date): Buffer {
  const end = new Date(now);
  end.setUTCFullYear(end.getUTCFullYear() + VALID_YEARS);
  const time = (date: Date) =>
    der(TAG.GENERALIZED_TIME, Buffer.from(`${date.toISOString().replaceAll(/[-:T]/g, '').slice(0, 14)}Z`));
  // A client's clock may be a little behind.
  return der(TAG.SEQUENCE, time(new Date(now.getTime() - 3_600_000)), time(end));
}

function subjectAltName(hosts: readonly string[]): Buffer {
  const names = hosts.map((host) => {
    const bytes = addressBytes(host);
    return bytes === undefined ? der(TAG.DNS_NAME, Buffer.from(host)) : der(TAG.IP_ADDRESS, bytes);
  });
  return der(TAG.SEQUENCE, oid(OID.SUBJECT_ALT_NAME), der(TAG.OCTET_STRING, der(TAG.SEQUENCE, ...names)));
}

function addressBytes(host: string): Buffer | undefined {
  if (isIPv4(host)) return Buffer.from(host.split('.').map(Number));
  if (!isIPv6(host)) return undefined;
  const [head = '', tail = ''] = new URL(`http://[${host}]`).hostname.slice(1, -1).split('::');
  const groups = (text: string) => text.split(':').filter((group) => group !== '');
  const zeros = Array<string>(8 - groups(head).length - groups(tail).length).fill('0');
  const all = [...groups(head), ...zeros, ...groups(tail)];
  return Buffer.from(all.map((group) => group.padStart(4, '0')).join(''), 'hex');
}

function oid(hex: string): Buffer {
  return der(TAG.OID, Buffer.from(hex, 'hex'));
}

function der(tag: number, ...parts: Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  if (content.length < 0x80) return Buffer.concat([Buffer.of(tag, content.length), content]);
  const length = content.length < 0x100 ? Buffer.of(0x81, content.length) : Buffer.alloc(3, 0x82);
  if (length.length === 3) length.writeUInt16BE(content.length, 1);
  return Buffer.concat([Buffer.of(tag), length, content]);
}

function pem(bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}
