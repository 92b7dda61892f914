import { createPrivateKey, randomUUID, sign, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import type { KeyPair } from './certificates.ts';

export interface TokenServerOptions {
  /** With what tokens are signed; the registry trusts the certificate. */
  pair: KeyPair;
  /** `user:password` that gets tokens by GET. */
  user: string;
  /** Refresh token that gets tokens by POST. */
  refreshToken: string;
}

/** One token that was asked for. */
export interface Asked {
  method: string;
  scopes: string[];
  /** Who asked: the user, `refresh` or `anonymous`. */
  who: string;
}

const SERVICE = 'test registry';
const ISSUER = 'test issuer';
const LIFETIME_S = 60;

/**
 * A token server in front of docker-registry (distribution docs, "Token
 * Authentication Specification" and "Oauth2 Token Authentication"): signs what is
 * asked for, for who may ask.
 */
export class TokenServer implements AsyncDisposable {
  readonly asked: Asked[] = [];
  readonly #server: Server;
  readonly #options: TokenServerOptions;
  readonly #key: string;
  readonly #certificate: string;

  private constructor(options: TokenServerOptions, texts: { key: string; certificate: string }) {
    this.#options = options;
    this.#key = texts.key;
    this.#certificate = texts.certificate;
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  static async start(options: TokenServerOptions): Promise<TokenServer> {
    const { cert, key } = options.pair;
    const certificate = new X509Certificate(await readFile(cert)).raw.toString('base64');
    const server = new TokenServer(options, { key: await readFile(key, 'utf8'), certificate });
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve));
    return server;
  }

  /** What a docker-registry that relies on this server has in its configuration. */
  get registrySettings(): string {
    const { port } = this.#server.address() as AddressInfo;
    return `auth:
  token:
    realm: http://127.0.0.1:${port}/token
    service: ${SERVICE}
    issuer: ${ISSUER}
    rootcertbundle: ${this.#options.pair.cert}
`;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '' } = request;
    const parameters =
      method === 'POST'
        ? new URLSearchParams(await text(request))
        : new URL(request.url ?? '', 'http://x').searchParams;
    const scopes = parameters.getAll('scope').flatMap((scope) => scope.split(' '));
    const who = this.#who(request, parameters);
    this.asked.push({ method, scopes, who: who ?? 'nobody' });
    if (who === undefined) response.writeHead(401).end();
    else response.end(JSON.stringify({ access_token: this.#token(who, scopes), expires_in: LIFETIME_S }));
  }

  #who(request: IncomingMessage, parameters: URLSearchParams): string | undefined {
    const { user, refreshToken } = this.#options;
    if (parameters.get('grant_type') === 'refresh_token')
      return parameters.get('refresh_token') === refreshToken ? 'refresh' : undefined;
    const { authorization } = request.headers;
    if (authorization === undefined) return 'anonymous';
    const right = `Basic ${Buffer.from(user).toString('base64')}`;
    return authorization === right ? user.split(':')[0] : undefined;
  }

  /** A JWT that gives what was asked for; anonymous callers get one that gives nothing. */
  #token(who: string, scopes: string[]): string {
    const now = Math.floor(Date.now() / 1000);
    const access = scopes.map((scope) => {
      const [type = '', name = '', actions = ''] = scope.split(':');
      return { type, name, actions: actions.split(',') };
    });
    const head = { typ: 'JWT', alg: 'ES256', x5c: [this.#certificate] };
    const claims = {
      iss: ISSUER,
      sub: who,
      aud: SERVICE,
      iat: now,
      nbf: now - 10,
      exp: now + LIFETIME_S,
      jti: randomUUID(),
      access: who === 'anonymous' ? [] : access,
    };
    const signed = [head, claims]
      .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
      .join('.');
    const key = { key: createPrivateKey(this.#key), dsaEncoding: 'ieee-p1363' as const };
    return `${signed}.${sign('sha256', Buffer.from(signed), key).toString('base64url')}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
