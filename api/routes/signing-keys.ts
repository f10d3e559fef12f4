import { z } from 'zod';
import { idSchema } from '../../domain/ids.ts';
import { signingKeyIdSchema } from '../../domain/signing-keys.ts';
import type { ApiContext } from '../context.ts';
import { openListRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, problemResponses, timeSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';

const keySchema = z
  .object({
    keyId: signingKeyIdSchema,
    issuer: z.string().describe('User whose key it is'),
    algorithm: z.literal('Ed25519'),
    publicKey: z.string().describe('32 bytes, base64url'),
    madeAt: timeSchema,
    retiredAt: timeSchema.nullable().describe('From then on it only verifies'),
  })
  .meta({ id: 'SigningKey' });

export function signingKeyRoutes(app: Api, { signingKeys, signers }: ApiContext): void {
  openListRoute(app, {
    url: '/v1/signing-keys',
    tag: 'signing keys',
    summary: 'Public keys to pin, before anything that they signed is trusted; retired ones verify what they signed',
    item: keySchema,
    filters: { issuer: idSchema('user').optional() },
    params: z.object({}),
    key: signingKeyIdSchema,
    keyOf: (key) => key.keyId,
    rows: (page, { issuer }) => signingKeys.list({ ...page, issuer }),
  });

  app.route({
    method: 'POST',
    url: '/v1/signing-keys/rotate',
    config: { role: 'operator' },
    schema: {
      tags: ['signing keys'],
      summary: 'A new key signs; the old one goes on verifying, and its private half is deleted',
      querystring: writeQuery,
      body: z.strictObject({
        retires: signingKeyIdSchema
          .nullable()
          .describe('The key that signs now, null for none: a repeated request rotates once'),
      }),
      response: { 200: z.object({ keyId: signingKeyIdSchema }).or(dryRunSchema), ...problemResponses },
    },
    handler: async (request) => {
      const { ownerId } = callerOf(request);
      const { retires } = request.body;
      if (request.query.dryRun) {
        await signers.mayRotate(ownerId, retires);
        return { dryRun: true as const, would: retires === null ? 'make the first key' : `retire ${retires}` };
      }
      return signers.rotate(ownerId, retires);
    },
  });
}
