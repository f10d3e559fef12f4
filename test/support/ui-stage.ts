import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { repositoryRoot } from '../../deploy/embedded/own-parts.ts';
import { buildUi } from '../../deploy/embedded/ui.ts';
import { sessionCookie } from '../../api/plugins/roles.ts';
import type { ApiDeps } from '../../api/types.ts';
import type { Role } from '../../domain/states.ts';
import { issueToken } from '../../stores/principals.ts';
import { type ApiFixture, createApiFixture } from './api.ts';
import { until } from './lab.ts';
import { lacks } from './not-run.ts';

/** Where distributions put it. */
const browserPath = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']
  .map((name) => `/usr/bin/${name}`)
  .find((path) => existsSync(path));

/** For `describe.skipIf`: notes what is not tried where there is no browser. */
export const lacksBrowser = (test: string) =>
  lacks({ test, needs: 'chromium', command: 'apt-get install chromium' }, browserPath !== undefined);

export interface Visit {
  width?: number;
  height?: number;
  theme?: 'light' | 'dark';
  /** Whether the visitor comes with a session. @default true */
  signedIn?: boolean;
  /** Whose session it is; default: the operator's. */
  as?: { ownerId: string };
  reducedMotion?: boolean;
  /** Whether scripts run that our policy would keep from it: then only what the pages themselves do keeps them away. @default false */
  bypassCsp?: boolean;
  /** @default 'allow' */
  serviceWorkers?: 'allow' | 'block';
  /** Whether pages ask anew by the clock. Without, what becomes new there was told by an event. @default true */
  clocks?: boolean;
  /** Whether this browser has never been here, so that it is shown around. @default false */
  isFirst?: boolean;
}

/** A browser's page, and what nobody should find in it. */
export interface Visitor {
  page: Page;
  context: BrowserContext;
  /** Errors on the console and out of scripts, and requests to other origins. */
  faults: string[];
  close: () => Promise<void>;
}

export interface UiStage {
  api: ApiFixture;
  url: string;
  visit(visit?: Visit): Promise<Visitor>;
  newLink(): Promise<string>;
  close(): Promise<void>;
}

/** The built pages, served by the shipped API on real servers, and a real browser. */
export async function openUiStage(
  deps: Partial<ApiDeps> = {},
  /** Opened before, with workers beside it; whoever opened it closes it. */
  given?: ApiFixture,
): Promise<UiStage> {
  await buildUi(repositoryRoot);
  const api = given ?? (await createApiFixture(deps));
  let browser: Browser | undefined;
  try {
    await api.app.listen({ host: '127.0.0.1', port: 0 });
    browser = await chromium.launch({
      ...(browserPath === undefined ? {} : { executablePath: browserPath }),
      // Who runs the tests may be root, whom the sandbox refuses; what is opened is our own page. WebGL without a GPU.
      args: ['--no-sandbox', '--disable-dev-shm-usage', '--use-angle=swiftshader', '--enable-unsafe-swiftshader'],
    });
  } catch (err) {
    if (given === undefined) await api.close();
    throw err;
  }
  const url = `http://127.0.0.1:${(api.app.server.address() as AddressInfo).port}`;
  const opened = browser;
  const newLink = async () =>
    (await api.call('POST', '/v1/tokens', { body: { kind: 'once' } })).json['token'] as string;

  return {
    api,
    url,
    newLink,
    async visit({
      width = 1280,
      height = 800,
      theme = 'light',
      signedIn = true,
      as,
      reducedMotion = true,
      isFirst = false,
      bypassCsp = false,
      serviceWorkers = 'allow',
      clocks = true,
    } = {}) {
      const shownAround = { origin: url, localStorage: [{ name: 'soulfra-tour', value: 'done' }] };
      const context = await opened.newContext({
        ...(isFirst ? {} : { storageState: { cookies: [], origins: [shownAround] } }),
        viewport: { width, height },
        colorScheme: theme,
        reducedMotion: reducedMotion ? 'reduce' : 'no-preference',
        bypassCSP: bypassCsp,
        serviceWorkers,
        locale: 'en-GB',
        timezoneId: 'UTC',
        isMobile: width < 500,
        hasTouch: width < 500,
      });
      if (!clocks) await context.addInitScript('window.setInterval = () => 0');
      if (signedIn) {
        const ownerId = as?.ownerId ?? api.ownerId;
        const { role } = await api.db
          .selectFrom('users')
          .select('role')
          .where('id', '=', ownerId)
          .executeTakeFirstOrThrow();
        const session = { ownerId, kind: 'session', role: role as Role, name: 'test' } as const;
        const { secret: value } = await issueToken(api.db, session);
        await context.addCookies([{ name: sessionCookie, value, url }]);
      }
      const page = await context.newPage();
      page.setDefaultTimeout(30_000);
      const faults: string[] = [];
      page.on('console', (message) => {
        if (message.type() === 'error' || message.type() === 'warning') faults.push(`console: ${message.text()}`);
      });
      page.on('pageerror', (err) => faults.push(`script: ${err.message}`));
      page.on('request', (request) => {
        const asked = request.url();
        if (!asked.startsWith(url) && !/^(?:data|blob):/.test(asked)) faults.push(`foreign: ${asked}`);
      });
      return { page, context, faults, close: () => context.close() };
    },
    async close() {
      await opened.close();
      if (given === undefined) await api.close();
    },
  };
}

const axe = readFileSync(createRequire(join(repositoryRoot, 'package.json')).resolve('axe-core/axe.min.js'), 'utf8');

/** The same in the light and in the dark, each line with its look; the page is left as it was. */
export async function axeInBothThemes(page: Page, first: 'light' | 'dark'): Promise<string[]> {
  const found: string[] = [];
  for (const theme of [first === 'light' ? 'dark' : 'light', first] as const) {
    await page.emulateMedia({ colorScheme: theme });
    found.push(...(await axeFindings(page)).map((finding) => `${theme}: ${finding}`));
  }
  return found;
}

/** What axe finds against WCAG 2.2 AA, one line each: rule, and where. */
export async function axeFindings(page: Page): Promise<string[]> {
  await page.evaluate(axe);
  return page.evaluate<string[]>(`axe
    .run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] })
    .then(({ violations }) => violations.flatMap(({ id, nodes }) =>
      nodes.map((node) => id + ': ' + node.target.join(' ') + ' ' + (node.any[0]?.message ?? node.html))))`);
}

/** Asked over and over from outside: the policy of the pages lets nothing be evaluated in them, so that `waitForFunction` fails. */
export async function cameTrue(page: Page, condition: string, timeoutMs?: number): Promise<void> {
  await until(condition, () => page.evaluate<boolean>(condition), timeoutMs);
}

/** Waits until a view shows what it has read. */
export async function settled(page: Page): Promise<void> {
  await page.locator('main h1').first().waitFor();
  const loading = page.locator('.loading');
  while ((await loading.count()) > 0) await loading.first().waitFor({ state: 'detached' });
}
