import { z } from 'zod';
import { idSchema } from '../../domain/ids.ts';
import { blessDrop } from '../../stores/drop-blessings.ts';
import type { ApiContext } from '../context.ts';
import { writeOrTry } from '../dry-run.ts';
import { dropParams } from '../drop-schemas.ts';
import { actorOf, asSchema } from '../guild-schemas.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, problemResponses, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';

const blessingSchema = z
  .object({ dropId: idSchema('drop'), agentId: z.string().describe('Who is thanked'), isNew: z.boolean() })
  .meta({ id: 'Blessing' });

/** Thanks for drops: what they come to is docs/marketplace.md (the pool) and docs/ballots.md (ego). */
export function blessingRoutes(app: Api, { db }: ApiContext): void {
  app.route({
    method: 'POST',
    url: '/v1/drops/:id/blessings',
    config: { role: 'member' },
    schema: {
      tags: ['drops'],
      summary:
        'A blessing (thanks) for a drop of somebody else’s that is out; one a day, and again today changes nothing',
      querystring: writeQuery,
      params: dropParams,
      body: z.strictObject({ as: asSchema }).nullish(),
      response: { 200: blessingSchema.or(dryRunSchema), 201: blessingSchema, ...problemResponses },
    },
    handler: async (request, reply) => {
      const giver = actorOf(callerOf(request), request.body?.as);
      const dropId = request.params.id;
      const given = await writeOrTry(db, request.query.dryRun, (tx) => blessDrop(tx, { dropId, giver }));
      if (request.query.dryRun) return { dryRun: true as const, would: `bless ${dropId}` };
      return reply.code(given.isNew ? 201 : 200).send(given);
    },
  });
}
