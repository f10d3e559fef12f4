import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import type { ApiContext } from '../context.ts';
import { writeOrTry } from '../dry-run.ts';
import { callerOf } from '../plugins/roles.ts';
import { resealBatch } from '../reseal.ts';
import { dryRunSchema, problemResponses, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';

export function secretRoutes(app: Api, { db, principals, secretBox, webhookBox }: ApiContext): void {
  app.route({
    method: 'POST',
    url: '/v1/secrets/reseal',
    config: { role: 'operator' },
    schema: {
      tags: ['secrets'],
      summary: 'Seals some rows anew under the keys of now; again with `next`, until that is null',
      description:
        'Of the whole installation, so only for who runs it, while keys of before stand behind the first of SOULFRA_SECRET_KEY or SOULFRA_WEBHOOK_KEY, or in …_OLD, at the API and all workers. Whatever is cut off is begun again from the first: what is under the keys of now already stays as it is.',
      querystring: writeQuery,
      body: z.strictObject({ from: z.string().max(200).optional().describe('`next` of the answer before') }).nullish(),
      response: {
        200: dryRunSchema.or(
          z.object({
            resealed: z.int(),
            unreadable: z.array(z.string()).describe('Under none of the keys: they stay as they are'),
            next: z.string().nullable().describe('null: that was all'),
          }),
        ),
        ...problemResponses,
      },
    },
    handler: async (request) => {
      const { ownerId } = callerOf(request);
      if (ownerId !== (await principals.firstOperator()))
        throw new DomainError('FORBIDDEN', 'only who runs the installation has its secrets sealed anew');
      const { dryRun } = request.query;
      const from = request.body?.from;
      const batch = await writeOrTry(db, dryRun, (tx) => resealBatch(tx, { secretBox, webhookBox }, { from }));
      return dryRun
        ? { dryRun: true as const, would: `seal ${batch.resealed} rows anew, and go on from there` }
        : batch;
    },
  });
}
