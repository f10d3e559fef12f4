import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { createServer } from '../api/server.ts';
import { builtAssets } from '../deploy/embedded/built-pages.ts';
import { repositoryRoot } from '../deploy/embedded/own-parts.ts';
import { buildPages } from '../deploy/embedded/ui.ts';
import { createApiMetrics } from '../observability/api-metrics.ts';
import { seedHostile } from '../test/support/hostile-pages.ts';
import { openLabServers } from '../test/support/lab.ts';
import { openShop, type Shop } from '../test/support/market.ts';
import { axeInBothThemes, cameTrue, openUiStage, settled, type UiStage } from '../test/support/ui-stage.ts';
import { workflowBundle } from '../workers/bundle.ts';
import { median } from './support/fleet-bench.ts';

/**
 * The web UI in real Chromium against what it is made of: bytes of the first view over those of the least app with the same React,
 * router and query, and frames of the globe over those of an empty scene, each built and measured in this run by the same browser.
 * Every view is looked at by axe, light and dark, with the corpus of hostile texts wherever somebody may write.
 */
const looks = [
  { theme: 'light', width: 1280, height: 800 },
  { theme: 'dark', width: 390, height: 844 },
] as const;
const bounds = { firstOverBare: 1.5, globeKb: 250, fpsOverEmpty: 0.5 };
const frames = { rounds: 5, seconds: 3, points: 1_000 };

const say = (line: string) => process.stderr.write(`${line}\n`);
const rounded = (number: number) => Math.round(number * 1_000) / 1_000;

const base = await openLabServers();
const bundle = await workflowBundle();
try {
  const given = { number: 0, ...base.addresses, workflowBundlePath: () => bundle, close: () => Promise.resolve() };
  const shop = await openShop({ given });
  try {
    const stage = await openUiStage({}, shop.api);
    try {
      const views = await lookAtViews(shop, stage);
      const own = await firstBytes(stage, { path: '/', isFirst: true });
      const bare = await withPages(shop, 'bare-app', (other) => firstBytes(other, { path: '/', signedIn: false }));
      const fps = await withPages(shop, 'globe-frames', framesOf);
      say(`first view ${own} bytes, bare app ${bare}; frames a second ${JSON.stringify(fps)}`);
      const result = {
        axe: views.axe,
        first_kb_over_bare: rounded(own / bare),
        globe_kb_gzip: rounded(globeBytes() / 1_000),
        fps_1k_over_empty_scene: rounded(fps.ratio),
        xss_executed: views.executed,
        console_errors: views.errors,
        foreign_requests: views.foreign,
      };
      process.stdout.write(`${JSON.stringify(result)}\n`);
      const isClean = [result.axe, result.xss_executed, result.console_errors, result.foreign_requests].every(
        (found) => found === 0,
      );
      const isWithin =
        result.first_kb_over_bare <= bounds.firstOverBare &&
        result.globe_kb_gzip <= bounds.globeKb &&
        result.fps_1k_over_empty_scene >= bounds.fpsOverEmpty;
      if (!isClean || !isWithin) process.exitCode = 1;
    } finally {
      await stage.close();
    }
  } finally {
    await shop.close();
  }
} finally {
  await base.close();
}

/** Every view in each look, and the sign-in page; what is found is told line by line. */
async function lookAtViews(seeded: Shop, stage: UiStage) {
  const addresses = [...(await seedHostile(seeded)), '/nothing-is-here'];
  const sums = { axe: 0, executed: 0, errors: 0, foreign: 0 };
  for (const look of looks) {
    const { page, faults, close } = await stage.visit({ ...look, bypassCsp: true });
    for (const address of addresses) {
      await page.goto(stage.url + address);
      await settled(page);
      const findings = await axeInBothThemes(page, look.theme);
      const executed = await page.evaluate<string | undefined>('window.executed');
      const found = [...findings, ...faults.splice(0)];
      const foreign = found.filter((fault) => fault.startsWith('foreign: ')).length;
      sums.axe += findings.length;
      sums.foreign += foreign;
      sums.errors += found.length - findings.length - foreign;
      if (executed !== undefined) sums.executed += 1;
      for (const each of executed === undefined ? found : [...found, `executed: ${executed}`])
        say(`${look.theme} ${address}: ${each}`);
    }
    await close();
    const stranger = await stage.visit({ ...look, signedIn: false });
    await stranger.page.goto(stage.url);
    await stranger.page.locator('.door h1').waitFor();
    const findings = await axeInBothThemes(stranger.page, look.theme);
    // Who is signed out is told so by a 401.
    const faults401 = stranger.faults.filter((fault) => !fault.includes('401'));
    const foreign = faults401.filter((fault) => fault.startsWith('foreign: ')).length;
    sums.axe += findings.length;
    sums.foreign += foreign;
    sums.errors += faults401.length - foreign;
    for (const each of [...findings, ...faults401]) say(`${look.theme} signed out: ${each}`);
    await stranger.close();
  }
  say(`${addresses.length} views and the door, ${looks.length} looks each`);
  return sums;
}

interface First {
  path: string;
  signedIn?: boolean;
  isFirst?: boolean;
}

/** What goes over the wire, as it does so, until the first view of a new browser stands: page, scripts, styles, fonts and pictures. */
async function firstBytes(stage: UiStage, { path, ...visitor }: First): Promise<number> {
  // What comes through a service worker counts no bytes of the page.
  const { page, context, close } = await stage.visit({ ...visitor, serviceWorkers: 'block' });
  const session = await context.newCDPSession(page);
  await session.send('Network.enable');
  const asked = new Map<string, string>();
  const bytes = new Map<string, number>();
  session.on('Network.requestWillBeSent', ({ requestId, request }) => asked.set(requestId, request.url));
  session.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => {
    const url = asked.get(requestId) ?? '';
    // What the views read is another thing than what they are.
    if (url.startsWith(stage.url) && !new URL(url).pathname.startsWith('/v1/')) bytes.set(url, encodedDataLength);
  });
  await page.goto(stage.url + path, { waitUntil: 'load' });
  await page.locator('main h1').first().waitFor();
  if (visitor.isFirst) await page.getByRole('dialog').waitFor();
  await page.evaluate('document.fonts.ready.then(() => true)');
  await close();
  for (const [url, each] of bytes) say(`${new URL(url).pathname} ${each}`);
  return [...bytes.values()].reduce((sum, each) => sum + each, 0);
}

/** Pages of bench/support, built as ours are and served by the same API. */
async function withPages<Result>(
  { api }: Shop,
  name: string,
  measure: (stage: UiStage) => Promise<Result>,
): Promise<Result> {
  const folder = join(repositoryRoot, 'dist', `${name}-${process.pid}`);
  mkdirSync(join(repositoryRoot, 'dist'), { recursive: true });
  try {
    await buildPages(repositoryRoot, { pages: join('bench', 'support', name), folder });
    const app = await createServer({ ...api.deps, metrics: createApiMetrics(), uiFolder: folder });
    try {
      const stage = await openUiStage({}, { ...api, app });
      try {
        return await measure(stage);
      } finally {
        await stage.close();
      }
    } finally {
      await app.close();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * In turn, and the median of each pair's ratio, so that what else the box does falls on both. The globe turns all the while, so it is
 * measured as it is drawn while it moves: without a card roughly.
 * @throws where one of them was drawn with fewer pixels than the other
 */
async function framesOf(stage: UiStage): Promise<{ globe: number; empty: number; ratio: number; pixelRatio: number }> {
  const { page, close } = await stage.visit({ signedIn: false, reducedMotion: false });
  await page.goto(stage.url);
  await cameTrue(page, 'typeof framesOf === "function"');
  const counted = { globe: [] as number[], empty: [] as number[] };
  const count = (points: number) =>
    page.evaluate<{ rate: number; pixelRatio: number }>(`framesOf(${points}, ${frames.seconds})`);
  let pixelRatio = 1;
  for (let round = 0; round < frames.rounds; round += 1) {
    const empty = await count(0);
    const globe = await count(frames.points);
    if (globe.pixelRatio !== empty.pixelRatio)
      throw new Error(`pixels across for each of the page: globe ${globe.pixelRatio}, empty scene ${empty.pixelRatio}`);
    pixelRatio = globe.pixelRatio;
    counted.empty.push(empty.rate);
    counted.globe.push(globe.rate);
  }
  await close();
  const ratio = median(counted.globe.map((rate, round) => rate / counted.empty[round]!));
  return { globe: median(counted.globe), empty: median(counted.empty), ratio, pixelRatio };
}

/** All that only the globe loads: the chunk with three.js and the scene, the view, and its styles. */
function globeBytes(): number {
  const built = join(repositoryRoot, 'dist', 'ui');
  const files = builtAssets(built).filter((file) => /^(?:scene|globe-view)-.*\.(?:js|css)$/.test(file));
  const gzipped = files.map((file) => gzipSync(readFileSync(join(built, 'assets', file))).length);
  for (const [i, file] of files.entries()) say(`${file} ${gzipped[i]}`);
  if (!files.some((file) => file.startsWith('scene-'))) throw new Error('no chunk has the scene');
  return gzipped.reduce((sum, each) => sum + each, 0);
}
