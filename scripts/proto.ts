/**
 * The work behind scripts/proto.sh, which says what it is for.
 *
 *   proto.ts write DIR      proto/api.proto and src/cri/gen/ from DIR, the module's runtime/v1 folder
 *   proto.ts check DIR      the same comparison without writing, and api.proto against the Go descriptor
 *   proto.ts offline-check  src/cri/gen/ against proto/api.proto
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import protobuf from 'protobufjs';
import descriptor from 'protobufjs/ext/descriptor/index.js';

const REPO = resolve(import.meta.dirname, '..');
const PROTO = join(REPO, 'proto/api.proto');
const GEN = join(REPO, 'src/cri/gen');

/** The tokens of a .proto text, comments left out; a string or a dotted name is one token. */
export function tokens(text: string): string[] {
  const all = text.match(/\/\/[^\n]*|\/\*[\s\S]*?\*\/|"(?:[^"\\]|\\.)*"|[\w.]+|[^\s\w]/g) ?? [];
  return all.filter((token) => !token.startsWith('//') && !token.startsWith('/*'));
}

/** The interface alone: one statement a line, two spaces a level, an empty line between top-level blocks. */
export function deriveProto(text: string): string {
  const lines: string[] = ['// Derived by scripts/proto.sh, see README.md; edits are lost.'];
  let line = '';
  let depth = 0;
  const flush = (): void => {
    if (line !== '') lines.push('  '.repeat(depth) + line);
    line = '';
  };
  const list = tokens(text);
  for (const [at, token] of list.entries()) {
    if (token === '}' && list[at - 1] === '{') line += '}';
    else if (token === '}') {
      depth--;
      line = '}';
    } else line += (needsSpace(line, token) ? ' ' : '') + token;
    const opens = token === '{' && list[at + 1] !== '}';
    const ends = token === ';' || (token === '}' && list[at + 1] !== ';');
    if (!opens && !ends) continue;
    if (depth === 0 && (opens || line.endsWith('{}'))) lines.push('');
    flush();
    if (opens) depth++;
  }
  return `${lines.join('\n')}\n`;
}

function needsSpace(line: string, token: string): boolean {
  if (line === '' || /[(<[]$/.test(line)) return false;
  if (/^[;,)>\]<]$/.test(token)) return false;
  return token !== '(' || /(returns|option)$/.test(line);
}

/**
 * The FileDescriptorProto in protoc-gen-go's output: bytes of the constant `*_rawDesc`, written as one
 * concatenation of Go string literals.
 */
export function goDescriptor(source: Buffer): Buffer {
  const literals = /_rawDesc = ""((?: \+\n\t"(?:[^"\\]|\\.)*")+)/.exec(source.toString('latin1'))?.[1];
  if (literals === undefined) throw new Error('no rawDesc constant in the Go file');
  const simple: Record<string, string> = { n: '\n', t: '\t', r: '\r', a: '\x07', b: '\b', f: '\f', v: '\v' };
  const joined = literals.replaceAll(/ \+\n\t"((?:[^"\\]|\\.)*)"/g, '$1');
  const bytes = joined.replaceAll(/\\(?:x([0-9a-f]{2})|(.))/g, (_, hex: string | undefined, char: string) =>
    hex === undefined ? (simple[char] ?? char) : String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(bytes, 'latin1');
}

/**
 * One line for each method, field and enum value of a parsed .proto file, sorted: what two descriptions
 * of one interface must agree on.
 */
export function factsOfText(proto: string): string[] {
  const root = parse(proto);
  const lines: string[] = [];
  const visit = (object: protobuf.ReflectionObject): void => {
    const name = object.fullName.slice(1);
    if (object instanceof protobuf.Type) {
      lines.push(`message ${name}`);
      for (const f of object.fieldsArray) lines.push(`field ${name}.${f.name} ${f.id} ${typeOfField(f)}`);
    } else if (object instanceof protobuf.Enum) {
      for (const [value, number] of Object.entries(object.values))
        lines.push(`value ${name}.${value} ${number}`);
    } else if (object instanceof protobuf.Service) {
      for (const m of object.methodsArray)
        lines.push(methodLine(name, m.name, [m.resolvedRequestType, m.resolvedResponseType].map(full), m));
    }
    if (object instanceof protobuf.Namespace) object.nestedArray.forEach(visit);
  };
  visit(root);
  return lines.sort();
}

function parse(proto: string): protobuf.Root {
  const root = new protobuf.Root();
  protobuf.parse(proto, root, { keepCase: true });
  root.resolveAll();
  return root;
}

function full(object: protobuf.ReflectionObject | null): string {
  return object?.fullName.slice(1) ?? '';
}

function methodLine(
  service: string,
  name: string,
  [request, response]: string[],
  streams: { requestStream?: boolean | null | undefined; responseStream?: boolean | null | undefined },
): string {
  const side = (type: string | undefined, stream: unknown): string => `${stream ? 'stream ' : ''}${type}`;
  return `method ${service}.${name} ${side(request, streams.requestStream)} -> ${side(response, streams.responseStream)}`;
}

function typeOfField(field: protobuf.Field): string {
  const type = field.resolvedType === null ? field.type : full(field.resolvedType);
  if (field instanceof protobuf.MapField) return `map<${field.keyType}, ${type}>`;
  return `${field.repeated ? 'repeated ' : ''}${type}`;
}

/** The same lines as `factsOfText`, of a serialized FileDescriptorProto. */
export function factsOfDescriptor(bytes: Uint8Array): string[] {
  const file = descriptor.FileDescriptorProto.decode(bytes) as descriptor.IFileDescriptorProto;
  const home = file.package ?? '';
  return [
    ...(file.messageType ?? []).flatMap((m) => messageFacts(home, m)),
    ...(file.enumType ?? []).flatMap((e) => enumFacts(home, e)),
    ...(file.service ?? []).flatMap((s) => serviceFacts(home, s)),
  ].sort();
}

function messageFacts(scope: string, m: descriptor.IDescriptorProto): string[] {
  const name = `${scope}.${m.name}`;
  const nested = m.nestedType ?? [];
  // A map is compiled to a repeated nested message of its own: key, value.
  const maps = new Map(nested.filter((n) => n.options?.mapEntry).map((n) => [`.${name}.${n.name}`, n]));
  const typeOf = (f: descriptor.IFieldDescriptorProto): string => {
    const map = maps.get(f.typeName ?? '');
    if (map !== undefined) return `map<${map.field?.map(typeName).join(', ')}>`;
    return `${f.label === LABEL_REPEATED ? 'repeated ' : ''}${typeName(f)}`;
  };
  return [
    `message ${name}`,
    ...(m.field ?? []).map((f) => `field ${name}.${f.name} ${f.number} ${typeOf(f)}`),
    ...(m.enumType ?? []).flatMap((e) => enumFacts(name, e)),
    ...nested.filter((n) => !n.options?.mapEntry).flatMap((n) => messageFacts(name, n)),
  ];
}

function enumFacts(scope: string, e: descriptor.IEnumDescriptorProto): string[] {
  return (e.value ?? []).map((v) => `value ${scope}.${e.name}.${v.name} ${v.number ?? 0}`);
}

function serviceFacts(scope: string, s: descriptor.IServiceDescriptorProto): string[] {
  return (s.method ?? []).map((m) => {
    const types = [m.inputType, m.outputType].map((t) => t?.slice(1) ?? '');
    const streams = { requestStream: m.clientStreaming, responseStream: m.serverStreaming };
    return methodLine(`${scope}.${s.name}`, m.name ?? '', types, streams);
  });
}

const LABEL_REPEATED = 3;
/** FieldDescriptorProto.Type by number (google/protobuf/descriptor.proto); 11 and 14 are messages and enums, named by the field. */
const SCALARS: Record<number, string> = {
  1: 'double',
  2: 'float',
  3: 'int64',
  4: 'uint64',
  5: 'int32',
  6: 'fixed64',
  7: 'fixed32',
  8: 'bool',
  9: 'string',
  12: 'bytes',
  13: 'uint32',
  15: 'sfixed32',
  16: 'sfixed64',
  17: 'sint32',
  18: 'sint64',
};

function typeName(field: descriptor.IFieldDescriptorProto): string {
  return SCALARS[field.type ?? 0] ?? field.typeName?.slice(1) ?? 'unknown';
}

/** Writes the generated types and the JSON descriptor for the .proto file `proto` into `target`. */
function generate(proto: string, target: string): void {
  mkdirSync(target, { recursive: true });
  const work = mkdtempSync(join(tmpdir(), 'skiff-proto-'));
  try {
    // A fixed relative name: the generator writes it into every file.
    mkdirSync(join(work, 'proto'));
    cpSync(proto, join(work, 'proto/api.proto'));
    const tool = join(REPO, 'node_modules/@grpc/proto-loader/build/bin/proto-loader-gen-types.js');
    const options = ['--keepCase', '--longs=String', '--enums=String', '--defaults', '--oneofs'];
    execFileSync(
      process.execPath,
      [tool, ...options, '--grpcLib=@grpc/grpc-js', '--importFileExtension=.ts', '-O=gen', 'proto/api.proto'],
      { cwd: work, stdio: 'inherit' },
    );
    cpSync(join(work, 'gen'), target, { recursive: true });
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  const json = JSON.stringify(parse(readFileSync(proto, 'utf8')).toJSON());
  writeFileSync(join(target, 'api.json'), `${json}\n`);
}

function fail(problem: string): never {
  console.error(`proto.ts: ${problem}; run scripts/proto.sh`);
  process.exit(1);
}

function filesBelow(directory: string): Map<string, string> {
  const names = readdirSync(directory, { recursive: true, withFileTypes: true });
  const paths = names.filter((n) => n.isFile()).map((n) => join(n.parentPath, n.name));
  return new Map(paths.map((path) => [path.slice(directory.length + 1), readFileSync(path, 'utf8')]));
}

function checkGenerated(): void {
  const fresh = mkdtempSync(join(tmpdir(), 'skiff-gen-'));
  try {
    generate(PROTO, fresh);
    const want = filesBelow(fresh);
    const have = filesBelow(GEN);
    for (const name of new Set([...want.keys(), ...have.keys()]))
      if (want.get(name) !== have.get(name))
        fail(`src/cri/gen/${name} is not what proto/api.proto generates`);
    console.log(`proto.ts: ${want.size} generated files agree with proto/api.proto`);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

function checkDescriptor(directory: string): void {
  const theirs = factsOfDescriptor(goDescriptor(readFileSync(join(directory, 'api.pb.go'))));
  const ours = factsOfText(readFileSync(PROTO, 'utf8'));
  const unlike = [
    ...ours.filter((fact) => !theirs.includes(fact)).map((fact) => `only in api.proto: ${fact}`),
    ...theirs.filter((fact) => !ours.includes(fact)).map((fact) => `only in the Go module: ${fact}`),
  ];
  if (unlike.length > 0) fail(`proto/api.proto differs from the Go descriptor:\n  ${unlike.join('\n  ')}\n`);
  console.log(`proto.ts: ${ours.length} facts agree with the Go descriptor`);
}

function main(mode: string | undefined, directory = ''): void {
  if (mode === 'offline-check') {
    checkGenerated();
    return;
  }
  const derived = deriveProto(readFileSync(join(directory, 'api.proto'), 'utf8'));
  if (mode === 'write') {
    writeFileSync(PROTO, derived);
    rmSync(GEN, { recursive: true, force: true });
    generate(PROTO, GEN);
  } else if (derived !== readFileSync(PROTO, 'utf8')) fail('proto/api.proto is not what the module gives');
  checkDescriptor(directory);
  checkGenerated();
}

if (process.argv[1] === import.meta.filename) main(process.argv[2], process.argv[3]);
