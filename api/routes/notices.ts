import { z } from 'zod';
import { idSchema } from '../../domain/ids.ts';
import { listOpenNotices } from '../../stores/queries/notices.ts';
import type { ApiContext } from '../context.ts';
import { listRoute } from '../lists.ts';
import { timeSchema } from '../schemas.ts';
import type { Api } from '../types.ts';

const noticeSchema = z
  .object({
    id: idSchema('notice'),
    kind: z.string(),
    subject: z.string(),
    title: z.string(),
    detail: z.string(),
    action: z.string().describe('The command that settles it'),
    seen: z.int().describe('How often it came up since it was opened'),
    openedAt: timeSchema,
  })
  .meta({ id: 'Notice' });

export function noticeRoutes(app: Api, { db }: ApiContext): void {
  listRoute(app, {
    url: '/v1/inbox',
    role: 'reader',
    tag: 'inbox',
    summary: 'What waits for a person: open notices, the last opened first',
    item: noticeSchema,
    filters: {},
    params: z.object({}),
    key: idSchema('notice'),
    keyOf: (notice) => notice.id,
    rows: (page) => listOpenNotices(db, page),
  });
}
