import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, isAbsolute, join, resolve } from 'node:path';

/**
 * The file that a command's first word names, as a shell standing in the folder would find it: a unit needs it in full.
 * @param path folders apart by colons
 * @returns undefined where there is none that may be run
 */
export function findProgram(word: string, folder: string, path: string): string | undefined {
  if (word.includes('/')) {
    const file = isAbsolute(word) ? word : resolve(folder, word);
    return mayRun(file) ? file : undefined;
  }
  return path
    .split(delimiter)
    .filter((place) => isAbsolute(place))
    .map((place) => join(place, word))
    .find(mayRun);
}

function mayRun(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch (err) {
    if (['ENOENT', 'EACCES', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG'].includes((err as NodeJS.ErrnoException).code ?? ''))
      return false;
    throw err;
  }
}
