import { z } from 'zod';
import { idSchema } from '../../domain/ids.ts';
import { endNotice } from '../../stores/inbox.ts';
import { listOpenNotices } from '../../stores/queries/notices.ts';
import type { ApiContext } from '../context.ts';
import { writeOrTry } from '../dry-run.ts';
import { listRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, emptyBody, problemResponses, timeSchema, writeQuery } from '../schemas.ts';
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

  app.route({
    method: 'POST',
    url: '/v1/inbox/:id/done',
    config: { role: 'operator' },
    schema: {
      tags: ['inbox'],
      summary:
        'Says that a person has settled what a notice asks for, where nothing else can tell; said again it is the same',
      querystring: writeQuery,
      params: z.strictObject({ id: idSchema('notice') }),
      body: emptyBody,
      response: {
        200: z.object({ id: idSchema('notice'), changed: z.boolean() }).or(dryRunSchema),
        ...problemResponses,
      },
    },
    handler: async (request) => {
      const { ownerId, tokenId: by } = callerOf(request);
      const { id } = request.params;
      const changed = await writeOrTry(db, request.query.dryRun, (tx) => endNotice(tx, { id, ownerId, by }));
      if (request.query.dryRun) return { dryRun: true as const, would: `close ${id}` };
      return { id, changed };
    },
  });
}
