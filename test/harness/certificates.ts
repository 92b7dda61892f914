import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** PEM files. */
export interface KeyPair {
  cert: string;
  key: string;
}

/** A certificate authority of a test, made by openssl in a directory of its own. */
export class TestAuthority {
  readonly directory: string;

  private constructor(directory: string) {
    this.directory = directory;
  }

  static async make(directory: string): Promise<TestAuthority> {
    const authority = new TestAuthority(directory);
    const { cert, key } = authority.root;
    await openssl([
      'req',
      '-x509',
      ...KEY,
      '-days',
      '2',
      '-subj',
      '/CN=test authority',
      '-keyout',
      key,
      '-out',
      cert,
    ]);
    return authority;
  }

  get root(): KeyPair {
    return this.#files('ca');
  }

  /** A certificate for `names`, such as `IP:127.0.0.1` or `DNS:registry.invalid`. */
  async issue(name: string, names: string[]): Promise<KeyPair> {
    const { cert, key } = this.#files(name);
    const request = join(this.directory, `${name}.csr`);
    const extensions = join(this.directory, `${name}.ext`);
    await writeFile(extensions, `subjectAltName=${names.join(',')}\n`);
    await openssl(['req', ...KEY, '-subj', `/CN=${name}`, '-keyout', key, '-out', request]);
    const signed = [
      '-CA',
      this.root.cert,
      '-CAkey',
      this.root.key,
      '-CAcreateserial',
      '-extfile',
      extensions,
    ];
    await openssl(['x509', '-req', '-in', request, ...signed, '-days', '2', '-out', cert]);
    return { cert, key };
  }

  #files(name: string): KeyPair {
    return { cert: join(this.directory, `${name}.pem`), key: join(this.directory, `${name}.key`) };
  }
}

/** The texts in the files of a pair. */
export async function pemTexts(pair: KeyPair): Promise<KeyPair> {
  return { cert: await readFile(pair.cert, 'utf8'), key: await readFile(pair.key, 'utf8') };
}

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

async function openssl(args: string[]): Promise<void> {
  await run('openssl', args);
}
