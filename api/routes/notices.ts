import { z } from 'zod';
import { idSchema } from '../../domain/ids.ts';
import { endNotice } from '../../stores/inbox.ts';
import { noticeKinds, severities } from '../../domain/notices.ts';
import { inboxClearSince, listOpenNotices } from '../../stores/queries/notices.ts';
import type { ApiContext } from '../context.ts';
import { writeOrTry } from '../dry-run.ts';
import { listRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, emptyBody, problemResponses, timeSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';

const noticeSchema = z
  .object({
    id: idSchema('notice'),
    kind: z.enum(noticeKinds),
    severity: z.enum(severities),
    subject: z.string(),
    title: z.string(),
    detail: z.string(),
    action: z.string().describe('What to do, in the words of whoever tells it'),
    act: z
      .object({
        say: z.string().describe('What to do'),
        command: z.string().describe('The command that does it, or that shows what lies outside'),
        call: z.object({ method: z.enum(['GET', 'POST', 'DELETE']), path: z.string() }).describe('The same by the API'),
      })
      .describe('What settles it'),
    otherwise: z.string().describe('What happens if nobody does, or what else there is to do'),
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
    beside: {
      shape: {
        clearSince: timeSchema.nullable().describe('Since when nothing waits; null while something does'),
      },
      read: async (ownerId) => ({ clearSince: await inboxClearSince(db, ownerId) }),
    },
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
