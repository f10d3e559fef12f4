import { constants, type Dirent } from 'node:fs';
import { type FileHandle, open, readdir } from 'node:fs/promises';

/** A place in the tree and nothing else: nothing of a folder is read, no right to read it is needed. Of Linux's <fcntl.h>. */
const O_PATH = 0o10000000;
/** No part of the path may be a link. Of macOS's <sys/fcntl.h>. */
const O_NOFOLLOW_ANY = 0x2000_0000;

const onLinux = process.platform === 'linux';

/**
 * Opens a file for reading by a path without links (as `realpath` gives), such that none is followed, whatever is put in
 * place of any part of the path meanwhile: nothing that the path did not name is opened, not even to look at it. Linux walks
 * from folder to folder, each opened in the one before it; macOS has a flag for it.
 * Without waiting: what was put there may be a pipe that nobody writes to, or a socket, which does not open.
 * @throws ENOENT, ENOTDIR, ELOOP, ENXIO where it is not what it was
 */
export async function openWithoutLinks(path: string, flags = 0): Promise<FileHandle> {
  const reading = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | flags;
  if (!onLinux) return open(path, reading | O_NOFOLLOW_ANY);
  const parts = path.split('/').filter((part) => part !== '');
  let at = await open('/', O_PATH | constants.O_DIRECTORY);
  for (const [i, part] of parts.entries()) {
    const last = i === parts.length - 1;
    const folder = at;
    try {
      const within = `/proc/self/fd/${folder.fd}/${part}`;
      at = await open(within, last ? reading : O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    } finally {
      await folder.close();
    }
  }
  return at;
}

/**
 * What a folder holds, opened in the same way. macOS lists by path what was just opened without a link: put there in
 * between, a link could tell names, and nothing of the files.
 */
export async function listWithoutLinks(path: string): Promise<Dirent[]> {
  const folder = await openWithoutLinks(path, constants.O_DIRECTORY);
  try {
    return await readdir(onLinux ? `/proc/self/fd/${folder.fd}` : path, { withFileTypes: true });
  } finally {
    await folder.close();
  }
}

/** Whether an error of these says that what was named is not there any more, or is something else by now. */
export function hasMoved(err: unknown): boolean {
  return ['ENOENT', 'ELOOP', 'ENOTDIR', 'ENXIO'].includes((err as NodeJS.ErrnoException).code ?? '');
}
