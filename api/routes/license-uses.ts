import { z } from 'zod';
import { type Asked, isPermitted, permissionOf, permissions, purposes } from '../../domain/licenses.ts';
import { databaseNow, readUse } from '../../stores/license-rows.ts';
import { endActivation, redeemLicense, startActivation } from '../../stores/license-uses.ts';
import { licenseView } from '../../stores/queries/licenses.ts';
import type { ApiContext } from '../context.ts';
import { writeOrTry } from '../dry-run.ts';
import { licenseParams, packageHashSchema, permissionSchema, useIdSchema } from '../license-schemas.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, problemResponses, textSchema, timeSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';

const placeSchema = textSchema(200).describe('What you call the machine; a file of this activation holds there only');
const seatSchema = textSchema(80).describe('Who uses it; activations of one seat take one seat');

const activationShape = { activationId: z.string(), place: z.string(), seat: z.string(), activatedAt: timeSchema };

/** Asking and using: each use under an id of the holder's own, so that a repeated request burns nothing. */
export function licenseUseRoutes(app: Api, { db }: ApiContext): void {
  app.route({
    method: 'POST',
    url: '/v1/licenses/:id/check',
    config: { role: 'reader', reads: true },
    schema: {
      tags: ['licenses'],
      summary: 'What a license permits now: always 200 with a code; nothing is used by asking',
      params: licenseParams,
      body: z
        .strictObject({
          purpose: z.enum(purposes).default('use').describe('All but use begin something new'),
          packageHash: packageHashSchema.optional(),
          commercial: z.boolean().optional(),
          activationId: useIdSchema
            .optional()
            .describe('Whether it is in use there; required to use a license whose places or seats are counted'),
          seat: seatSchema.optional().describe('For purpose activate'),
        })
        .nullish(),
      response: { 200: permissionSchema, ...problemResponses },
    },
    handler: async (request) => {
      const { ownerId } = callerOf(request);
      const { purpose = 'use', packageHash, commercial, activationId, seat } = request.body ?? {};
      const named = { activationId, seat };
      const { license, use } = await readUse(db, request.params.id, { ownerId }, named, databaseNow);
      const asked: Asked = { purpose, packageHash, commercial, ...use };
      const code = permissionOf(license, license.now, asked);
      return { code, permitted: isPermitted(code), ...permissions[code], license: licenseView(license) };
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/licenses/:id/redeem',
    config: { role: 'member' },
    schema: {
      tags: ['licenses'],
      summary: 'Uses a license once; the same redemption id again is the same use and the same answer',
      querystring: writeQuery,
      params: licenseParams,
      body: z.strictObject({ redemptionId: useIdSchema }),
      response: {
        200: z
          .object({ code: z.literal('VALID'), redemptionId: z.string(), use: z.int(), redeemedAt: timeSchema })
          .or(dryRunSchema),
        ...problemResponses,
      },
    },
    handler: async (request) => {
      const { ownerId, tokenId: actor } = callerOf(request);
      const { redemptionId } = request.body;
      const { dryRun } = request.query;
      const { id: licenseId } = request.params;
      const redemption = await writeOrTry(db, dryRun, (tx) =>
        redeemLicense(tx, { licenseId, ownerId, redemptionId, actor }),
      );
      if (dryRun) return { dryRun: true as const, would: `be use ${redemption.use} of ${licenseId}` };
      return { code: 'VALID' as const, ...redemption };
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/licenses/:id/activate',
    config: { role: 'member' },
    schema: {
      tags: ['licenses'],
      summary: 'Puts a license to use on a machine; the same activation id again is the same activation',
      querystring: writeQuery,
      params: licenseParams,
      body: z.strictObject({
        activationId: useIdSchema,
        place: placeSchema,
        seat: seatSchema.default('holder'),
      }),
      response: {
        200: z.object({ code: z.enum(['VALID', 'IN_GRACE']), ...activationShape }).or(dryRunSchema),
        ...problemResponses,
      },
    },
    handler: async (request) => {
      const { ownerId, tokenId: actor } = callerOf(request);
      const { dryRun } = request.query;
      const { id: licenseId } = request.params;
      const activation = await writeOrTry(db, dryRun, (tx) =>
        startActivation(tx, { licenseId, ownerId, ...request.body, actor }),
      );
      if (dryRun) return { dryRun: true as const, would: `use ${licenseId} on ${activation.place}` };
      return activation;
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/licenses/:id/deactivate',
    config: { role: 'member' },
    schema: {
      tags: ['licenses'],
      summary: 'Ends an activation: its place is free again, and its files are listed as revoked',
      querystring: writeQuery,
      params: licenseParams,
      body: z.strictObject({ activationId: useIdSchema }),
      response: {
        200: z.object({ ...activationShape, endedAt: timeSchema }).or(dryRunSchema),
        ...problemResponses,
      },
    },
    handler: async (request) => {
      const { ownerId } = callerOf(request);
      const { dryRun } = request.query;
      const { id: licenseId } = request.params;
      const { activationId } = request.body;
      const ended = await writeOrTry(db, dryRun, (tx) => endActivation(tx, { licenseId, ownerId, activationId }));
      return dryRun ? { dryRun: true as const, would: `end the use on ${ended.place}` } : ended;
    },
  });
}
