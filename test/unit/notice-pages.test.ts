import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { repositoryRoot } from '../../deploy/embedded/own-parts.ts';
import { noticeRules } from '../../domain/notice-acts.ts';
import type { NoticeKind } from '../../domain/notices.ts';
import { isPress, type Notice, pageOf } from '../../ui/home/acts.ts';

const routes = ['fleet/routes.ts', 'market/routes.ts', 'drops/routes.ts', 'guilds/routes.ts', 'operations/routes.ts']
  .map((file) => readFileSync(join(repositoryRoot, 'ui', file), 'utf8'))
  .join('\n');
const paths = new Set([...routes.matchAll(/path: '([^']+)'/g)].map(([, path]) => path));

test('each notice has one button: it does it, leads to a page that is there, or shows what the API tells', () => {
  expect(paths.size).toBeGreaterThan(10);
  for (const [kind, { act }] of Object.entries(noticeRules)) {
    const about = { id: 'ntc_1', key: `${kind}:one`, subject: 'one', about: '' };
    const notice = { ...about, kind: kind as NoticeKind, act: act(about) } as unknown as Notice;
    if (isPress(notice)) continue;
    const page = pageOf(notice);
    if (page === undefined) expect(notice.act.call.method, kind).toBe('GET');
    else expect(paths.has(page) || /^\/agents\/[\w-]+$/.test(page), `${kind}: ${page}`).toBe(true);
  }
});
