import { lstatSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, sep } from 'node:path';

const prefix = 'soulfra-copies-';

/** Folders that nobody else may look into, for what tools look at and for what they need besides. */
export function openCopies(): { folder: string; scratch: string; remove: () => void } {
  removeLeftOvers();
  const root = mkdtempSync(join(tmpdir(), `${prefix}${process.pid}-`));
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
    const pid = new RegExp(`^${prefix}(\\d+)-`).exec(name)?.[1];
    if (pid === undefined || lives(Number(pid))) continue;
    const path = join(tmpdir(), name);
    if (lstatSync(path, { throwIfNoEntry: false })?.uid === process.geteuid?.())
      rmSync(path, { recursive: true, force: true });
  }
}

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (err) {
    return (err as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
