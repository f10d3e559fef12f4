import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { idSchema } from '../../domain/ids.ts';
import { putBack, takeDown } from '../../stores/takedowns.ts';
import type { ApiContext } from '../context.ts';
import { writeOrTry } from '../dry-run.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, emptyBody, problemResponses, textSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';

const params = z.strictObject({ id: idSchema('listing') });
const answerSchema = z.object({
  id: idSchema('listing'),
  takenDown: z.string().nullable().describe('Why; null: it is not'),
  changed: z.boolean().describe('false: it was so already'),
});

/** Who runs the marketplace answers for what is on offer there, whoever sells it. */
export function takedownRoutes(app: Api, { db, principals }: ApiContext): void {
  app.route({
    method: 'POST',
    url: '/v1/listings/:id/take-down',
    config: { role: 'operator' },
    schema: {
      tags: ['market'],
      summary: 'Takes any listing off, until it is put back; its seller is told why',
      querystring: writeQuery,
      params,
      body: z.strictObject({ reason: textSchema(1_000) }),
      response: { 200: answerSchema.or(dryRunSchema), ...problemResponses },
    },
    handler: async (request) => {
      const { ownerId: by } = callerOf(request);
      const { id } = request.params;
      const { reason } = request.body;
      await refuseOthers(by);
      const changed = await writeOrTry(db, request.query.dryRun, (tx) => takeDown(tx, { id, reason, by }));
      if (request.query.dryRun) return { dryRun: true as const, would: `take ${id} down` };
      return { id, takenDown: reason, changed };
    },
  });
  app.route({
    method: 'POST',
    url: '/v1/listings/:id/put-back',
    config: { role: 'operator' },
    schema: {
      tags: ['market'],
      summary: 'Lets its seller put on offer again what was taken down',
      querystring: writeQuery,
      params,
      body: emptyBody,
      response: { 200: answerSchema.or(dryRunSchema), ...problemResponses },
    },
    handler: async (request) => {
      const { ownerId: by } = callerOf(request);
      const { id } = request.params;
      await refuseOthers(by);
      const changed = await writeOrTry(db, request.query.dryRun, (tx) => putBack(tx, { id, by }));
      if (request.query.dryRun) return { dryRun: true as const, would: `put ${id} back` };
      return { id, takenDown: null, changed };
    },
  });

  async function refuseOthers(ownerId: string): Promise<void> {
    if (ownerId !== (await principals.firstOperator()))
      throw new DomainError('FORBIDDEN', 'only who runs the marketplace takes listings down');
  }
}
