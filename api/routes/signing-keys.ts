import { z } from 'zod';
import { idSchema } from '../../domain/ids.ts';
import { signingKeyIdSchema, signingKeyStates } from '../../domain/signing-keys.ts';
import { publishKey, revokeKey } from '../../stores/signing-keys.ts';
import type { ApiContext } from '../context.ts';
import { writeOrTry } from '../dry-run.ts';
import { openListRoute } from '../lists.ts';
import { reasonSchema } from '../license-schemas.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, problemResponses, timeSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';

const tag = 'signing keys';
const publicKeySchema = z.string().regex(/^[\w-]{43}$/, 'must be 32 bytes as base64url');
const keySchema = z
  .object({
    keyId: signingKeyIdSchema,
    issuer: z.string().describe('User whose key it is'),
    algorithm: z.literal('Ed25519'),
    publicKey: z.string().describe('32 bytes, base64url'),
    state: z
      .enum(signingKeyStates)
      .describe('next: published ahead, pin it before it signs; revoked: it leaked, trust nothing that it signed'),
    madeAt: timeSchema,
    signsSince: timeSchema.nullable(),
    retiredAt: timeSchema.nullable().describe('From then on it only verifies'),
    revokedAt: timeSchema.nullable(),
  })
  .meta({ id: 'SigningKey' });
const namedSchema = z.object({ keyId: signingKeyIdSchema });

export function signingKeyRoutes(app: Api, { db, signingKeys, signers }: ApiContext): void {
  openListRoute(app, {
    url: '/v1/signing-keys',
    tag,
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
    url: '/v1/signing-keys/next',
    config: { role: 'creator' },
    schema: {
      tags: [tag],
      summary: 'Publishes the next key before it signs, so that all who verify can pin it; asked again, the same key',
      querystring: writeQuery,
      body: z
        .strictObject({
          publicKey: publicKeySchema
            .optional()
            .describe('Of your next SOULFRA_SIGNING_KEY_FILE; default: a key is made and kept sealed'),
        })
        .nullish(),
      response: { 200: namedSchema.or(dryRunSchema), ...problemResponses },
    },
    handler: async (request) => {
      const { ownerId } = callerOf(request);
      const text = request.body?.publicKey;
      const publicKey = text === undefined ? undefined : Buffer.from(text, 'base64url');
      const { dryRun } = request.query;
      const key = await signers.ahead(ownerId, publicKey);
      const keyId = await writeOrTry(db, dryRun, (tx) => publishKey(tx, key));
      return dryRun ? { dryRun: true as const, would: 'publish the next key' } : { keyId };
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/signing-keys/rotate',
    config: { role: 'creator' },
    schema: {
      tags: [tag],
      summary: 'The next key signs, or a new one where none was published; the old one goes on verifying',
      querystring: writeQuery,
      body: z.strictObject({
        retires: signingKeyIdSchema
          .nullable()
          .describe('The key that signs now, null for none: a repeated request rotates once'),
      }),
      response: { 200: namedSchema.or(dryRunSchema), ...problemResponses },
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

  app.route({
    method: 'POST',
    url: '/v1/signing-keys/:id/revoke',
    config: { role: 'creator' },
    schema: {
      tags: [tag],
      summary: 'Says that a key leaked: here nothing that it signed is taken any more; it must not sign any more',
      querystring: writeQuery,
      params: z.strictObject({ id: signingKeyIdSchema }),
      body: z.strictObject({ reason: reasonSchema }),
      response: { 200: namedSchema.or(dryRunSchema), ...problemResponses },
    },
    handler: async (request) => {
      const { ownerId } = callerOf(request);
      const { id } = request.params;
      const { dryRun } = request.query;
      const { reason } = request.body;
      await writeOrTry(db, dryRun, (tx) => revokeKey(tx, { ownerId, id, reason }));
      return dryRun ? { dryRun: true as const, would: `revoke ${id}` } : { keyId: id };
    },
  });
}
