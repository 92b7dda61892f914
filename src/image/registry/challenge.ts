/** One challenge of a WWW-Authenticate header: `Bearer realm="..",service=".."`. Scheme and names in lower case. */
export interface Challenge {
  scheme: string;
  parameters: Record<string, string>;
}

const TOKEN = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+/y;
/** The body of token68 credentials, such as a negotiation blob: kept apart from `name=value`. */
const TOKEN68 = /[A-Za-z0-9\-._~+/]+=*(?=\s*(?:,|$))/y;

/**
 * Parses WWW-Authenticate: several headers, several challenges in one header
 * (RFC 9110, section 11.6.1). What cannot be read ends the list, so that the
 * challenges before it still serve.
 */
export function parseChallenges(header: string | string[] | undefined): Challenge[] {
  const lines = header === undefined ? [] : Array.isArray(header) ? header : [header];
  return lines.flatMap((line) => new Reader(line).challenges());
}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  challenges(): Challenge[] {
    const found: Challenge[] = [];
    for (this.#separators(); this.#at < this.#text.length; this.#separators()) {
      const scheme = this.#match(TOKEN);
      if (scheme === '') break;
      found.push({ scheme: scheme.toLowerCase(), parameters: this.#parameters() });
    }
    return found;
  }

  #parameters(): Record<string, string> {
    const parameters: Record<string, string> = {};
    this.#skip(/\s+/y);
    for (let name = this.#name(); name !== ''; name = this.#name()) {
      parameters[name.toLowerCase()] = this.#value();
      this.#separators();
    }
    if (Object.keys(parameters).length === 0) this.#match(TOKEN68);
    return parameters;
  }

  /** The name before an `=`, or '' with the position unchanged: then the next challenge begins here. */
  #name(): string {
    const start = this.#at;
    const name = this.#match(TOKEN);
    this.#skip(/\s+/y);
    if (name !== '' && this.#text[this.#at] === '=' && !this.#endsToken68()) {
      this.#at++;
      this.#skip(/\s+/y);
      return name;
    }
    this.#at = start;
    return '';
  }

  #endsToken68(): boolean {
    return /^=+\s*(?:,|$)/.test(this.#text.slice(this.#at));
  }

  #value(): string {
    if (this.#text[this.#at] !== '"') return this.#match(TOKEN);
    let value = '';
    for (this.#at++; this.#at < this.#text.length && this.#text[this.#at] !== '"'; this.#at++) {
      if (this.#text[this.#at] === '\\') this.#at++;
      value += this.#text[this.#at] ?? '';
    }
    this.#at++;
    return value;
  }

  #separators(): void {
    this.#skip(/[\s,]+/y);
  }

  #skip(pattern: RegExp): void {
    this.#match(pattern);
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0] ?? '';
    this.#at += found.length;
    return found;
  }
}
