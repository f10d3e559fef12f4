import { createHash, randomUUID } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { isMap, isSeq, parseDocument } from 'yaml';
import { DomainError, type FieldError } from '../domain/errors.ts';
import {
  commandText,
  isTrusted,
  type TrustedCommand,
  type TrustedService,
  type TrustFile,
  trustFileSchema,
} from '../domain/service-trust.ts';
import type { ServiceSpec } from '../domain/services.ts';
import { type Breach, parseYamlFile } from './yaml-file.ts';

const nothingTrusted: TrustFile = { version: 1, services: [], commands: [], repositories: [] };

const mostBytes = 8 * 1024 * 1024;

const trustRules = {
  schema: trustFileSchema,
  tooLong: 'Take out services that are gone.',
  breaches: (): Breach[] => [],
  lastly: ({ services }: TrustFile): Breach[] =>
    services.flatMap(({ id }, i) =>
      services.findIndex((other) => other.id === id) < i
        ? [{ at: ['services', i, 'id'], rule: 'is there twice', mend: 'Keep one of the two.' }]
        : [],
    ),
};

/**
 * What this machine trusts; nothing where there is no file yet.
 * @throws INVALID_INPUT where somebody else could have written it, or it does not follow its schema
 */
export function readTrustFile(path: string): TrustFile {
  const source = readOwn(path);
  return source === undefined ? nothingTrusted : parsed(source, path);
}

/** What the machine has agreed to for this service, if that is what the fleet describes now. */
export function trustOf(file: TrustFile, spec: ServiceSpec): { entry: TrustedService } | { changed: boolean } {
  const entry = file.services.find(({ id }) => id === spec.id);
  if (entry === undefined) return { changed: false };
  return isTrusted(entry, spec, sha256) ? { entry } : { changed: true };
}

/**
 * What the machine says of its trust file. An entry that is a hash itself says something only of the command that the fleet describes now.
 * @param specOf the service as the fleet describes it; asked for such entries alone
 */
export function trustedCommands(
  file: TrustFile,
  specOf: (serviceId: string) => ServiceSpec | undefined,
): TrustedCommand[] {
  return file.services.flatMap((entry) => {
    const command = entry.sha256 === undefined ? entry : specOf(entry.id);
    if (command === undefined || !isTrusted(entry, command, sha256)) return [];
    return [{ service: entry.id, sha256: sha256(commandText(command, [])) }];
  });
}

/** Adds a service, or puts it in the place of what was agreed to before; comments and the other entries stay as they are. */
export function addTrusted(path: string, entry: TrustedService): void {
  const folder = dirname(path);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const source = readOwn(path) ?? '';
  const before = source.trim() === '' ? nothingTrusted : parsed(source, path);
  const doc = parseDocument(source.trim() === '' ? trustFileHead : source, { version: '1.2', stringKeys: true });
  const at = before.services.findIndex(({ id }) => id === entry.id);
  const node = doc.createNode(entry);
  if (!isSeq(doc.get('services'))) doc.set('services', doc.createNode([]));
  const list = doc.get('services');
  if (!isMap(doc.contents) || !isSeq(list)) throw new Error(`${path} has no list of services`);
  list.flow = false;
  if (at === -1) list.add(node);
  else list.set(at, node);
  writeOwn(path, doc.toString({ lineWidth: 0 }));
}

const trustFileHead = `# What this machine agrees to run, and nothing else. Soulfra never sends it anywhere, and no token can change it.
version: 1
services: []
`;

function parsed(source: string, path: string): TrustFile {
  const read = parseYamlFile(source, path, trustRules);
  if ('value' in read) return read.value;
  const said = read.errors.map(({ line, path: field, rule }) => `${path}:${line} ${field} ${rule}`);
  throw new DomainError('INVALID_INPUT', said.join('; '), { fields: read.errors });
}

/** @returns undefined where it is not there */
function readOwn(path: string): string | undefined {
  let file: number;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (err) {
    const { code } = err as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    throw refused(
      path,
      code === 'ELOOP' ? 'must not be a symbolic link' : `cannot be read (${code})`,
      'Make it a file.',
    );
  }
  try {
    const stat = fstatSync(file);
    if (!stat.isFile()) throw refused(path, 'must be a plain file', 'Put a file in its place.');
    if (stat.size > mostBytes) throw refused(path, `must be at most ${mostBytes} bytes long`, trustRules.tooLong);
    refuseOthers(path, stat, 'chmod go-w');
    // Whoever may write in its folder may put another file in its place.
    const folder = dirname(path);
    refuseOthers(folder, statSync(folder), 'chmod go-w');
    return readFileSync(file, 'utf8');
  } finally {
    closeSync(file);
  }
}

function refuseOthers(path: string, { uid, mode }: { uid: number; mode: number }, mend: string): void {
  const own = process.geteuid?.() ?? uid;
  if (uid !== own)
    throw refused(
      path,
      `must belong to user ${own}, who runs the worker, and belongs to user ${uid}`,
      `\`chown ${own} ${path}\`.`,
    );
  if ((mode & 0o022) !== 0) {
    const shown = (mode & 0o777).toString(8);
    throw refused(path, `must not be writable by group or others (its mode is ${shown})`, `\`${mend} ${path}\`.`);
  }
}

function refused(path: string, rule: string, mend: string): DomainError {
  const field: FieldError = { path, rule, mend };
  return new DomainError('INVALID_INPUT', `${path} ${rule}. ${mend}`, { fields: [field] });
}

function writeOwn(path: string, text: string): void {
  const next = `${path}.${randomUUID()}`;
  const file = openSync(next, 'wx', 0o600);
  try {
    writeFileSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(next, path);
}

export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
