import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { createPrincipalStore } from '../../stores/principals.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { browserPath, openBrowser, type Page } from '../support/browser.ts';
import { until } from '../support/lab.ts';
import { lacks } from '../support/not-run.ts';
import { applyFleet } from '../support/outbound.ts';

// A guard, not a claim: the browser is started, too.
vi.setConfig({ testTimeout: 120_000 });

let api: ApiFixture;
let url: string;
let browser: Awaited<ReturnType<typeof openBrowser>> | undefined;

beforeAll(async () => {
  api = await createApiFixture();
  await applyFleet(api.db, api.ownerId, {});
  await api.app.listen({ host: '127.0.0.1', port: 0 });
  url = `http://127.0.0.1:${(api.app.server.address() as AddressInfo).port}`;
  if (browserPath !== undefined) browser = await openBrowser(browserPath);
}, 60_000);
afterAll(async () => {
  await browser?.close();
  await api?.close();
}, 60_000);

const newLink = async () => (await api.call('POST', '/v1/tokens', { body: { kind: 'once' } })).json['token'] as string;

/** The part of the page that is shown. */
const shown = (page: Page) =>
  page.read<string | undefined>(`[...document.querySelectorAll('main')].find((part) => !part.hidden)?.id`);
const shows = (page: Page, part: string) => until(`${part} is shown`, async () => (await shown(page)) === part, 30_000);
const press = (page: Page) => page.read(`document.querySelector('#sign-in').click()`);

test.skipIf(
  lacks(
    { test: 'the sign-in page in a browser', needs: 'chromium', command: 'apt-get install chromium' },
    browserPath !== undefined,
  ),
)('a link that is opened is used up by the press of the button alone', async () => {
  const once = await newLink();
  const [scanner, person, late] = await Promise.all([0, 1, 2].map(() => browser!.newPage()));
  // Whatever opens links to look at them runs the page's script, too.
  for (const page of [scanner!, person!, late!]) {
    await page.open(`${url}/#once=${once}`);
    await shows(page, 'link');
    expect(await page.read(`location.hash + document.querySelector('#sign-in').textContent`)).toBe('Sign in');
  }
  const used = () => api.db.selectFrom('tokens').select('usedAt').where('kind', '=', 'once').execute();
  expect(await used()).toEqual([{ usedAt: null }]);

  await press(person!);
  await shows(person!, 'signed-in');
  expect(await used()).toEqual([{ usedAt: expect.any(Date) }]);
  await person!.open(url);
  await shows(person!, 'signed-in');

  await press(late!);
  const refusal = () => late!.read<string>(`document.querySelector('#refusal').textContent`);
  await until('the press is refused', async () => (await refusal()) !== '', 30_000);
  expect(await refusal()).toBe('This sign-in link was used already, or its time is over: ask for another one.');
  expect(await late!.read(`document.querySelector('#sign-in').hidden`)).toBe(true);
  await late!.open(url);
  await shows(late!, 'signed-out');

  // Another link, in the same tab.
  const next = await newLink();
  await late!.read(`location.hash = 'once=${next}'`);
  await shows(late!, 'link');
  await press(late!);
  await shows(late!, 'signed-in');
});

test('a link that was used or is over says so, and what to do', async () => {
  const once = await newLink();
  const over = await createPrincipalStore(api.db).issue({
    ownerId: api.ownerId,
    kind: 'once',
    role: 'reader',
    name: '',
    expiresInSeconds: -1,
  });
  const swap = (secret: string) => api.call('POST', '/v1/sessions', { token: null, body: { once: secret } });
  expect((await swap(once)).status).toBe(200);
  for (const secret of [once, over.secret])
    expect(await swap(secret)).toMatchObject({
      status: 401,
      json: {
        code: 'UNAUTHENTICATED',
        detail: 'This sign-in link was used already, or its time is over: ask for another one.',
        errors: [{ path: 'once', mend: expect.stringContaining('soulfra sign-up ADDRESS') }],
      },
    });
});
