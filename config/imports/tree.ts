import { closeSync, constants, fstatSync, lstatSync, openSync, opendirSync, readSync, realpathSync } from 'node:fs';
import { basename, join, posix, sep } from 'node:path';
import { byCodeUnit } from '../../domain/three-way.ts';

/** What an import may look at; beyond it something is left out by name, or the whole refused. */
export const treeLimits = {
  /** Entries of folders, over all paths; more refuse the import. */
  entries: 200_000,
  /** Folders below one another. */
  depth: 32,
  /** Of one file. */
  fileBytes: 512 * 1024,
  /** Of all files that are read. */
  bytes: 64 * 1024 * 1024,
};
export type TreeLimits = typeof treeLimits;

/** Something that was not read, and why. */
export interface Skipped {
  path: string;
  reason: string;
  /** It could have been read, were it not for a limit or its permissions. */
  unread?: true;
}

/** The files below the paths of an import. Names have `/`, and begin at the path, or at its last part where there are several. */
export interface Tree {
  /** All plain files, in the order of their names. */
  files: readonly string[];
  /** Symbolic links, by name alone: none is followed. */
  links: readonly string[];
  /** Folders whose name begins with a dot and which were passed over, but for those of tools. */
  hidden: readonly string[];
  /** Known by name, whether it can be read or not. */
  has: (name: string) => boolean;
  /** Text of a file, or undefined where it is not in the tree or is skipped. */
  read: (name: string) => string | undefined;
  skipped: readonly Skipped[];
  /** Tells of a file that was read and is of no use. */
  skip: (name: string, reason: string) => void;
}

/** Other people's code, copies, and what only shows how something would be done. */
const passedOver = new Set([
  'node_modules',
  'site-packages',
  'venv',
  'virtualenv',
  '__pycache__',
  'vendor',
  'dist',
  'build',
  'target',
  // What an import wrote itself.
  'fleet.d',
  'test',
  'tests',
  'testdata',
  'fixtures',
  'example',
  'examples',
  'docs',
  'templates',
]);
/** Of which the summary need not speak. */
const notWorthTelling = /^(node_modules|site-packages|venv|virtualenv|__pycache__|dist|build|target|fleet\.d)$/;

/** Hidden folders of tools, which hold copies, caches and what an editor keeps: nobody misses them. */
const hiddenByCustom =
  /^\.(git|hg|svn|jj|venv|virtualenv|tox|nox|eggs|direnv|pixi|cache|\w+_cache|ipynb_checkpoints|npm|yarn|pnpm-store|parcel-cache|turbo|next|nuxt|svelte-kit|gradle|m2|terraform|idea|vscode|vs|trash\w*|spotlight\w*)$/i;

export class TreeRefused extends Error {
  override readonly name = 'TreeRefused';
}

/**
 * Lists what lies below the paths and reads it on demand. No link is followed, nothing but plain files is opened, and
 * nothing is run.
 * @throws TreeRefused
 */
export function openTree(
  paths: readonly string[],
  limits: TreeLimits = treeLimits,
  /** Folders that are entered though their name is passed over. */
  entered: readonly string[] = [],
): Tree {
  const skipped: Skipped[] = [];
  const places = new Map<string, { root: string; path: string }>();
  const links: string[] = [];
  const hidden: string[] = [];
  let entries = 0;
  for (const { root, prefix } of rootsOf(paths)) {
    const stack = [{ folder: root, name: prefix, depth: 0 }];
    if (lstatSync(root).isFile()) {
      places.set(prefix === '' ? basename(root) : prefix, { root, path: root });
      continue;
    }
    for (let here = stack.pop(); here !== undefined; here = stack.pop()) {
      for (const entry of entriesOf(here.folder, here.name, skipped)) {
        entries += 1;
        if (entries > limits.entries)
          throw new TreeRefused(
            `there are more than ${limits.entries} files and folders; name the folders that matter`,
          );
        const name = here.name === '' ? entry.name : `${here.name}/${entry.name}`;
        const path = join(here.folder, entry.name);
        if (/[\p{Cc}\p{Cf}\u2028\u2029\\]/u.test(entry.name) || !entry.name.isWellFormed()) {
          skipped.push({ path: printable(name), reason: 'its name has characters that are not shown' });
        } else if (entry.isSymbolicLink()) {
          links.push(name);
          skipLink(path, name, root, skipped);
        } else if (entry.isDirectory()) {
          if (entry.name.startsWith('.') && !entered.includes(entry.name.toLowerCase())) {
            if (!hiddenByCustom.test(entry.name)) hidden.push(name);
            continue;
          }
          if (passedOver.has(entry.name.toLowerCase()) && !entered.includes(entry.name.toLowerCase())) {
            if (!notWorthTelling.test(entry.name))
              skipped.push({ path: `${name}/`, reason: 'folders of this name are passed over' });
          } else if (here.depth + 1 > limits.depth)
            skipped.push({ path: `${name}/`, reason: `lies more than ${limits.depth} folders deep`, unread: true });
          else stack.push({ folder: path, name, depth: here.depth + 1 });
        } else if (entry.isFile()) places.set(name, { root, path });
        else skipped.push({ path: name, reason: 'is no plain file' });
      }
    }
  }
  return treeOf(places, { links, hidden }, skipped, limits);
}

function treeOf(
  places: ReadonlyMap<string, { root: string; path: string }>,
  { links, hidden }: { links: readonly string[]; hidden: readonly string[] },
  skipped: Skipped[],
  limits: TreeLimits,
): Tree {
  const texts = new Map<string, string | undefined>();
  let left = limits.bytes;
  return {
    files: [...places.keys()].toSorted(byCodeUnit),
    links: links.toSorted(byCodeUnit),
    hidden: hidden.toSorted(byCodeUnit),
    has: (name) => places.has(name),
    skipped,
    skip: (name, reason) => void skipped.push({ path: name, reason }),
    read(name) {
      const place = places.get(name);
      if (place === undefined) return undefined;
      if (!texts.has(name)) {
        const read = readText(place, Math.min(limits.fileBytes, left));
        if ('reason' in read) {
          const spent = left < limits.fileBytes && read.reason.startsWith('is longer');
          skipped.push({
            path: name,
            reason: spent ? `the files before it have ${limits.bytes} bytes already` : read.reason,
            ...(read.unread && { unread: true }),
          });
        } else left -= read.bytes;
        texts.set(name, 'text' in read ? read.text : undefined);
      }
      return texts.get(name);
    },
  };
}

/** Each path as it really lies; one inside another is read once. */
function rootsOf(paths: readonly string[]): Array<{ root: string; prefix: string }> {
  const real = paths.map((path) => {
    try {
      return realpathSync(path);
    } catch (err) {
      throw new TreeRefused(`${path} cannot be read (${(err as NodeJS.ErrnoException).code})`, { cause: err });
    }
  });
  const roots = [...new Set(real)].filter(
    (path, _, all) => !all.some((other) => other !== path && path.startsWith(other + sep)),
  );
  const prefixes = roots.map((root) => (roots.length === 1 ? '' : basename(root)));
  const twice = prefixes.find((prefix, i) => prefix !== '' && prefixes.indexOf(prefix) !== i);
  if (twice !== undefined) throw new TreeRefused(`two paths end in ${twice}; name the folder that holds both`);
  return roots.map((root, i) => ({ root, prefix: prefixes[i]! }));
}

function* entriesOf(folder: string, name: string, skipped: Skipped[]) {
  let handle: ReturnType<typeof opendirSync>;
  try {
    handle = opendirSync(folder);
  } catch (err) {
    skipped.push({
      path: `${name}/`,
      reason: `cannot be read (${(err as NodeJS.ErrnoException).code})`,
      unread: true,
    });
    return;
  }
  try {
    for (let entry = handle.readSync(); entry !== null; entry = handle.readSync()) yield entry;
  } finally {
    handle.closeSync();
  }
}

/** What it leads to is read under its own name where it lies in the tree; links out of it are told. */
function skipLink(path: string, name: string, root: string, skipped: Skipped[]): void {
  let target: string;
  try {
    target = realpathSync(path);
  } catch {
    skipped.push({ path: name, reason: 'is a symbolic link that leads nowhere' });
    return;
  }
  if (target !== root && !target.startsWith(root + sep))
    skipped.push({ path: name, reason: 'is a symbolic link out of the folder' });
}

function readText(
  { root, path }: { root: string; path: string },
  most: number,
): { text: string; bytes: number } | { reason: string; unread?: true } {
  let file: number;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (err) {
    return { reason: `cannot be read (${(err as NodeJS.ErrnoException).code})`, unread: true };
  }
  try {
    const stat = fstatSync(file);
    if (!stat.isFile()) return { reason: 'is no plain file' };
    // A folder above it may have become a link since it was listed.
    const real = realpathSync(path);
    const there = lstatSync(real);
    if ((real !== root && !real.startsWith(root + sep)) || there.ino !== stat.ino || there.dev !== stat.dev)
      return { reason: 'was moved while it was read', unread: true };
    const bytes = Buffer.alloc(Math.min(stat.size, most) + 1);
    let length = 0;
    for (;;) {
      const read = readSync(file, bytes, length, bytes.length - length, length);
      length += read;
      if (read === 0 || length === bytes.length) break;
    }
    if (length > most) return { reason: `is longer than ${most} bytes`, unread: true };
    const whole = bytes.subarray(0, length);
    if (whole.includes(0)) return { reason: 'is no text' };
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(whole), bytes: length };
  } catch (err) {
    if (err instanceof TypeError) return { reason: 'is no UTF-8 text' };
    return { reason: `cannot be read (${(err as NodeJS.ErrnoException).code})`, unread: true };
  } finally {
    closeSync(file);
  }
}

function printable(name: string): string {
  return name.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, '?').toWellFormed();
}

/**
 * A path that a file of the tree names, as a name of the tree.
 * @returns undefined where it leads out of the tree or is absolute
 */
export function pathFrom(file: string, named: string): string | undefined {
  if (named === '' || named.startsWith('/') || /^[A-Za-z]:|\\/.test(named) || named.includes('\0')) return undefined;
  const joined = posix.normalize(posix.join(posix.dirname(file), named));
  return joined === '..' || joined.startsWith('../') ? undefined : joined;
}
