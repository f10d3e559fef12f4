import { z } from 'zod';
import { fieldError } from '../../domain/field-errors.ts';
import { idSchema, nameSchema } from '../../domain/ids.ts';
import { licenseKindSchema } from '../../domain/license-kinds.ts';
import { licenseChanges } from '../../domain/licenses.ts';
import { licenseStates } from '../../domain/states.ts';
import { databaseNow, type LicenseRow, readLicense } from '../../stores/license-rows.ts';
import { givenBefore, issueLicense } from '../../stores/licenses.ts';
import {
  licenseView,
  listActivations,
  listLicenseEvents,
  listLicenseKinds,
  listLicenses,
  listUsage,
} from '../../stores/queries/licenses.ts';
import { hasPackage } from '../../stores/queries/loop-packages.ts';
import type { ApiContext } from '../context.ts';
import { writeOrTry } from '../dry-run.ts';
import { licenseParams, licenseSchema, packageHashSchema, reasonSchema, useIdSchema } from '../license-schemas.ts';
import { listRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, problemResponses, timeSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';
import { idempotencyHeaders, requestHashOf, startedId } from '../workflow-starts.ts';

const tag = 'licenses';

export function licenseRoutes(app: Api, { db }: ApiContext): void {
  listRoute(app, {
    url: '/v1/license-kinds',
    role: 'reader',
    tag,
    summary: 'Kinds of licenses and what they permit',
    item: licenseKindSchema,
    filters: {},
    params: z.object({}),
    key: nameSchema,
    keyOf: (kind) => kind.id,
    rows: (page) => listLicenseKinds(db, page),
  });

  listRoute(app, {
    url: '/v1/licenses',
    role: 'reader',
    tag,
    summary: 'Licenses that you hold or have issued, the last issued first',
    item: licenseSchema,
    filters: {
      state: z.enum(licenseStates).optional(),
      kind: nameSchema.optional(),
      packageHash: packageHashSchema.optional(),
      as: z.enum(['holder', 'issuer']).optional().describe('Only those you hold, or have issued'),
    },
    params: z.object({}),
    key: idSchema('license'),
    keyOf: (license) => license.id,
    rows: (page, filters) => listLicenses(db, { ...page, ...filters }),
  });

  app.route({
    method: 'GET',
    url: '/v1/licenses/:id',
    config: { role: 'reader' },
    schema: {
      tags: [tag],
      summary: 'One license that you hold or have issued',
      params: licenseParams,
      response: { 200: licenseSchema, ...problemResponses },
    },
    handler: async (request) => licenseView(await seen(callerOf(request).ownerId, request.params.id)),
  });

  app.route({
    method: 'POST',
    url: '/v1/licenses',
    config: { role: 'operator' },
    schema: {
      tags: [tag],
      summary: 'Gives a license by hand, active at once; purchases issue theirs themselves',
      querystring: writeQuery,
      headers: idempotencyHeaders,
      body: z.strictObject({
        kind: nameSchema,
        packageHash: packageHashSchema,
        holder: idSchema('user').optional().describe('Default: yourself'),
        reason: reasonSchema,
      }),
      response: { 200: dryRunSchema, 201: licenseSchema, ...problemResponses },
    },
    handler: async (request, reply) => {
      const { ownerId, tokenId } = callerOf(request);
      const { kind, packageHash, holder = ownerId, reason } = request.body;
      const by = { actor: tokenId, reason };
      const id = startedId('license', request);
      const requestHash = requestHashOf({ kind, packageHash, holder, reason });
      const { license, replayed } = await writeOrTry(db, request.query.dryRun, async (tx) => {
        // Before anything that may have changed since: the package may be gone, or who it was given to.
        const before = await givenBefore(tx, id, requestHash);
        if (before) return { license: before, replayed: true };
        if (!(await hasPackage(tx, ownerId, packageHash))) {
          const mend = 'Pack the agent first; `soulfra loop list` shows the content hashes of your packages.';
          throw fieldError('packageHash', 'must be the content hash of a loop package of your own', mend);
        }
        const given = { id, requestHash, holderId: holder, issuerId: ownerId, kind, packageHash, by, activated: by };
        return { license: await issueLicense(tx, given), replayed: false };
      });
      if (request.query.dryRun) return { dryRun: true as const, would: `give ${holder} a license of kind ${kind}` };
      if (replayed) void reply.header('idempotent-replayed', 'true');
      void reply.header('location', `/v1/licenses/${license.id}`);
      return reply.code(201).send(licenseView(license));
    },
  });

  listRoute(app, {
    url: '/v1/licenses/:id/events',
    role: 'reader',
    tag,
    summary: 'What became of a license, by whom and why, the last first',
    item: z.object({
      id: idSchema('licenseEvent'),
      change: z.enum(licenseChanges),
      from: z.string().nullable(),
      to: z.string(),
      holder: z.string().describe('Who held it then'),
      actor: z.string(),
      reason: z.string(),
      data: z.record(z.string(), z.unknown()),
      at: timeSchema,
    }),
    filters: {},
    params: licenseParams,
    key: idSchema('licenseEvent'),
    keyOf: (event) => event.id,
    rows: async (page, _filters, { id }) => {
      await seen(page.ownerId, id);
      return listLicenseEvents(db, { ...page, licenseId: id });
    },
  });

  listRoute(app, {
    url: '/v1/licenses/:id/activations',
    role: 'reader',
    tag,
    summary: 'Where a license is in use now',
    item: z.object({ activationId: z.string(), place: z.string(), seat: z.string(), activatedAt: timeSchema }),
    filters: {},
    params: licenseParams,
    key: useIdSchema,
    keyOf: (activation) => activation.activationId,
    rows: async (page, _filters, { id }) => {
      await seen(page.ownerId, id);
      return listActivations(db, { ...page, licenseId: id });
    },
  });

  listRoute(app, {
    url: '/v1/licenses/:id/usage',
    role: 'reader',
    tag,
    summary: 'What was used of a license on each day (UTC), the last first; as CSV with ?format=csv',
    item: z.object({
      day: z.iso.date(),
      holder: z.string(),
      redemptions: z.int(),
      activations: z.int(),
      files: z.int(),
    }),
    filters: {},
    params: licenseParams,
    key: z.string().regex(/^\d{4}-\d\d-\d\d \S{1,80}$/),
    keyOf: ({ day, holder }) => `${day} ${holder}`,
    rows: async (page, _filters, { id }) => {
      await seen(page.ownerId, id);
      return listUsage(db, { ...page, licenseId: id });
    },
  });

  function seen(ownerId: string, id: string): Promise<LicenseRow> {
    return readLicense(db, id, { ownerId }, databaseNow);
  }
}
