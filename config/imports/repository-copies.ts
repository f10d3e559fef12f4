import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, sep } from 'node:path';

const prefix = 'soulfra-copies-';
/** No reading lasts as long: what is older belongs to nobody. */
const mostAgeMs = 60 * 60_000;
/** In place of when a process began, on a host that does not say. */
const unknown = 'unknown';

/** Folders that nobody else may look into, for what tools look at and for what they need besides. */
export function openCopies(): { folder: string; scratch: string; remove: () => void } {
  removeLeftOvers();
  const root = mkdtempSync(join(tmpdir(), `${prefix}${ownName()}-`));
  const [folder, scratch] = [join(root, 'files'), join(root, 'scratch')];
  mkdirSync(folder);
  mkdirSync(scratch);
  return { folder, scratch, remove: () => rmSync(root, { recursive: true, force: true }) };
}

/** Names are those of a tree (config/imports/tree.ts), so none leads out of the folder. */
export function writeCopy(folder: string, name: string, text: string): void {
  const path = join(folder, name);
  if (!path.startsWith(folder + sep)) throw new Error(`${name} leads out of the folder of copies`);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text, { mode: 0o600 });
}

/** Copies of a process of ours that was killed while it looked at them. */
function removeLeftOvers(): void {
  for (const name of readdirSync(tmpdir())) {
    if (!name.startsWith(prefix)) continue;
    const path = join(tmpdir(), name);
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (!found?.isDirectory() || found.uid !== process.geteuid?.()) continue;
    if (isLeftOver(name, Date.now() - found.mtimeMs)) rmSync(path, { recursive: true, force: true });
  }
}

/** A process that another container runs cannot be asked about from here, so its copies are known by their age alone. */
function isLeftOver(name: string, ageMs: number): boolean {
  if (ageMs > mostAgeMs) return true;
  const [space, pid, began] = name.slice(prefix.length).split('-');
  if (pid === undefined || began === undefined || began === unknown || space !== processSpace()) return false;
  return startOf(pid) !== began;
}

/** The same pid comes again, in a container each time it is started: a process is known by when it began, too. */
function ownName(): string {
  return `${processSpace()}-${process.pid}-${startOf(String(process.pid)) ?? unknown}`;
}

/** Which processes are seen from here, as a number; 0 where the host does not say. */
function processSpace(): string {
  return String(statSync('/proc/self/ns/pid', { throwIfNoEntry: false })?.ino ?? 0);
}

/** In ticks since the host began; undefined where there is none of this number. */
function startOf(pid: string): string | undefined {
  try {
    // Its name, in brackets, may hold anything.
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ')[19];
  } catch (err) {
    const { code } = err as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH') return undefined;
    throw err;
  }
}
