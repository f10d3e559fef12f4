import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { DomainError } from '../../domain/errors.ts';
import { isBuilt, putInPlace } from './built-pages.ts';
import { repositoryRoot } from './own-parts.ts';
import type { Screen } from './screen.ts';

/** What of other rooms is built in, and the versions of everything that comes from elsewhere. */
const outsideSources = ['domain/masks.ts', 'domain/random.ts', 'verifier/index.js', 'package-lock.json'];
/** Below this, a compressed file saves nothing. */
const leastBytes = 1024;

/** Hash of all that the web UI is built of. */
export function uiSourceHash(root: string): string {
  const hash = createHash('sha256');
  const own = readdirSync(join(root, 'ui'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  const outside = outsideSources.map((file) => join(root, file)).filter((file) => existsSync(file));
  for (const file of [...own, ...outside].sort()) {
    hash.update(file.slice(root.length)).update('\0').update(readFileSync(file)).update('\0');
  }
  return hash.digest('hex');
}

/**
 * Builds the web UI into `dist/ui`, unless that is what lies there; whoever asks meanwhile gets the old pages or the new ones, whole.
 * @returns whether it was built now
 * @throws UNAVAILABLE with what the builder said
 */
export async function buildUi(root: string, { anew = false } = {}): Promise<boolean> {
  const target = join(root, 'dist', 'ui');
  const hash = uiSourceHash(root);
  if (!anew && isBuilt(target, hash)) return false;
  mkdirSync(join(root, 'dist'), { recursive: true });
  const folder = join(root, 'dist', `ui-${process.pid}`);
  try {
    await buildPages(root, { pages: 'ui', folder });
    putInPlace(folder, target, hash);
  } catch (err) {
    // Another start may have put the same pages there meanwhile.
    if (!isBuilt(target, hash)) throw err;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return true;
}

/** Builds pages as ui/vite.config.ts says, and compresses what is loaded of them. @param pages where they lie, from `root` on */
export async function buildPages(root: string, { pages, folder }: { pages: string; folder: string }): Promise<void> {
  await runVite(viteOf(root), root, pages, folder);
  for (const file of readdirSync(join(folder, 'assets'))) compress(join(folder, 'assets', file));
}

/** Where the builder is; it comes with `npm ci`, and not with `npm ci --omit=dev`. */
function viteOf(root: string): string {
  try {
    return createRequire(join(root, 'package.json'))
      .resolve('vite/package.json')
      .replace(/package\.json$/, 'bin/vite.js');
  } catch (err) {
    throw new DomainError('UNAVAILABLE', 'vite is not installed: npm ci', { cause: err });
  }
}

async function runVite(vite: string, root: string, pages: string, folder: string): Promise<void> {
  const config = join('ui', 'vite.config.ts');
  const args = [vite, 'build', pages, '--config', config, '--outDir', folder, '--logLevel', 'warn'];
  // A test runner says `test`, by which React would come with all that it says to its developers: half as much again to load.
  const env = { ...process.env, NODE_ENV: 'production' };
  const child = spawn(process.execPath, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
  }
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== 0) throw new DomainError('UNAVAILABLE', `vite ended with code ${code}: ${said.trim().slice(-600)}`);
}

/** Once at the build, so that the API spends nothing on it. */
function compress(file: string): void {
  if (!/\.(?:css|js|md|svg)$/.test(file)) return;
  const content = readFileSync(file);
  if (content.length < leastBytes) return;
  writeFileSync(`${file}.br`, brotliCompressSync(content, { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } }));
  writeFileSync(`${file}.gz`, gzipSync(content, { level: 9 }));
}

/** For `npm start`: everything else starts without pages, too, and the page then says how they come. */
export async function startUi(root: string, screen: Screen): Promise<void> {
  const step = screen.step('Web UI');
  const since = performance.now();
  try {
    step.progress('looking whether it is built');
    const built = await buildUi(root);
    step.done(built ? `built in ${((performance.now() - since) / 1000).toFixed(1)} s` : 'built before');
  } catch (err) {
    step.fail(`not built, the rest starts without it: ${err instanceof Error ? err.message : String(err)}`);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await buildUi(repositoryRoot, { anew: true });
  process.stdout.write('dist/ui is built\n');
}
