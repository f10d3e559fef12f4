import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Written beside the built pages: what they were built of. */
const hashFile = 'source-hash.txt';
/** The files under assets/ that belong to them, a line each. */
const assetsFile = 'assets.txt';
const page = 'index.html';

/** Whether what is built was built of these sources. */
export function isBuilt(target: string, hash: string): boolean {
  const file = join(target, hashFile);
  return existsSync(file) && readFileSync(file, 'utf8') === hash;
}

/** The files under assets/ of the pages that are served now; those of the build before lie beside them. */
export function builtAssets(target: string): string[] {
  const file = join(target, assetsFile);
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [];
}

/**
 * Puts built pages where they are served, at any moment of which a whole page is there: assets first, each by a name of its own
 * content, then the page that names them. The assets of the build before stay, for who has that one open.
 */
export function putInPlace(folder: string, target: string, hash: string): void {
  const assets = readdirSync(join(folder, 'assets'));
  writeFileSync(join(folder, assetsFile), assets.join('\n'));
  writeFileSync(join(folder, hashFile), hash);
  if (isFirst(folder, target)) return;
  const old = builtAssets(target);
  // Cut off in the middle, what lies there was built of nothing that is known.
  rmSync(join(target, hashFile), { force: true });
  mkdirSync(join(target, 'assets'), { recursive: true });
  for (const file of assets) renameSync(join(folder, 'assets', file), join(target, 'assets', file));
  const last = [page, assetsFile, hashFile];
  const others = readdirSync(folder).filter((file) => file !== 'assets' && !last.includes(file));
  for (const file of [...others, ...last]) renameSync(join(folder, file), join(target, file));
  const kept = new Set([...assets, ...old]);
  for (const file of readdirSync(join(target, 'assets')))
    if (!kept.has(file)) rmSync(join(target, 'assets', file), { force: true });
}

/** Where nothing lies, one rename is all. */
function isFirst(folder: string, target: string): boolean {
  try {
    renameSync(folder, target);
    return true;
  } catch (err) {
    if (['ENOTEMPTY', 'EEXIST'].includes((err as NodeJS.ErrnoException).code ?? '')) return false;
    throw err;
  }
}
