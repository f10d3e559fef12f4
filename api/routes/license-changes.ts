import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { idSchema } from '../../domain/ids.ts';
import { marketCause, operatorCause } from '../../domain/licenses.ts';
import type { DatabaseTransaction } from '../../stores/database.ts';
import { type By, databaseNow, readLicense, type Viewer } from '../../stores/license-rows.ts';
import {
  type Changed,
  extendLicense,
  reinstateLicense,
  revokeLicense,
  suspendLicense,
  transferLicense,
} from '../../stores/licenses.ts';
import { readMarket } from '../../stores/market.ts';
import { licenseView } from '../../stores/queries/licenses.ts';
import type { ApiContext } from '../context.ts';
import { writeOrTry } from '../dry-run.ts';
import { licenseParams, licenseSchema, reasonSchema } from '../license-schemas.ts';
import type { Principal } from '../../stores/principals.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, problemResponses, timeSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';

const reasonBody = z.strictObject({ reason: reasonSchema });
const extendBody = z
  .strictObject({
    expiresAt: timeSchema.optional().describe('New end of its term'),
    uses: z.int().min(1).max(2_147_483_647).optional().describe('Uses in all, those that are used included'),
    reason: reasonSchema,
  })
  .refine((body) => body.expiresAt !== undefined || body.uses !== undefined, {
    error: 'must say expiresAt, uses or both',
  });

interface Asked {
  id: string;
  viewer: Viewer;
  by: By;
  /** Of a suspension by hand: the issuer's, or of who runs the marketplace. */
  cause: string;
}

/** What issuers and holders change. Each is an event with actor and reason; one that was so already is answered as it is. */
export function licenseChangeRoutes(app: Api, { db }: ApiContext): void {
  const changes = [
    {
      verb: 'suspend',
      summary: 'A license permits nothing until it is reinstated',
      body: reasonBody,
      change: (tx, asked) => suspendLicense(tx, asked),
      isDone: ({ license }, { cause }) => license.suspendedBy.includes(cause),
    },
    {
      verb: 'reinstate',
      summary: 'Takes back a suspension by hand; one by a dispute goes on until that is won',
      body: reasonBody,
      change: (tx, asked) => reinstateLicense(tx, asked),
      isDone: ({ license }) => license.state === 'active' || license.state === 'used_up',
    },
    {
      verb: 'revoke',
      summary: 'Takes a license back for good',
      body: reasonBody,
      change: (tx, asked) => revokeLicense(tx, asked),
      isDone: ({ license }) => license.state === 'revoked',
    },
    {
      verb: 'extend',
      summary: 'More time or more uses, said as what shall be',
      body: extendBody,
      change: (tx, asked, body) => {
        const { expiresAt, uses } = extendBody.parse(body);
        return extendLicense(tx, {
          ...asked,
          expiresAt: expiresAt === undefined ? undefined : new Date(expiresAt),
          uses,
        });
      },
      isDone: ({ license }) => license.state !== 'revoked' && license.state !== 'pending',
    },
  ] satisfies Array<{
    verb: string;
    summary: string;
    body: z.ZodType<{ reason: string }>;
    change: (tx: DatabaseTransaction, asked: Asked, body: unknown) => Promise<Changed>;
    /** Whether the license is as was asked for, also where nothing had to be changed. */
    isDone: (changed: Changed, asked: Asked) => boolean;
  }>;

  for (const { verb, summary, body, change, isDone } of changes) {
    app.route({
      method: 'POST',
      url: `/v1/licenses/:id/${verb}`,
      config: { role: 'creator' },
      schema: {
        tags: ['licenses'],
        summary,
        querystring: writeQuery,
        params: licenseParams,
        body,
        response: { 200: licenseSchema.or(dryRunSchema), ...problemResponses },
      },
      handler: async (request) => {
        const caller = callerOf(request);
        const { id } = request.params;
        const { dryRun } = request.query;
        const by = { actor: caller.tokenId, reason: request.body.reason };
        const { license } = await writeOrTry(db, dryRun, async (tx) => {
          const asked = { id, by, ...(await mayChange(tx, caller, { id, verb })) };
          const changed = await change(tx, asked, request.body);
          if (!isDone(changed, asked))
            throw new DomainError('CONFLICT', `${id} is ${stateOf(changed)}; ${verb} does nothing`);
          return changed;
        });
        return dryRun ? { dryRun: true as const, would: `${verb} ${id}` } : licenseView(license);
      },
    });
  }

  app.route({
    method: 'POST',
    url: '/v1/licenses/:id/transfer',
    config: { role: 'member' },
    schema: {
      tags: ['licenses'],
      summary: 'Passes a license on, where its kind permits it: activations end, uses stay used',
      querystring: writeQuery,
      params: licenseParams,
      body: z.strictObject({ to: idSchema('user'), reason: reasonSchema }),
      response: { 200: licenseSchema.or(dryRunSchema), ...problemResponses },
    },
    handler: async (request) => {
      const { ownerId: holderId, tokenId } = callerOf(request);
      const { id } = request.params;
      const { to, reason } = request.body;
      const { dryRun } = request.query;
      const license = await writeOrTry(db, dryRun, (tx) =>
        transferLicense(tx, { id, holderId, to, by: { actor: tokenId, reason } }),
      );
      return dryRun ? { dryRun: true as const, would: `pass ${id} on to ${to}` } : licenseView(license);
    },
  });
}

/**
 * The issuer changes what they issued. Who runs the marketplace ends what was sold in it, and takes back what they ended: whose
 * license it is, and who issued it, they are told with the reason.
 * @throws NOT_FOUND for who neither holds nor issued it · FORBIDDEN
 */
async function mayChange(
  tx: DatabaseTransaction,
  { ownerId, role }: Principal,
  { id, verb }: { id: string; verb: string },
): Promise<{ viewer: Viewer; cause: string }> {
  const { booksId } = await readMarket(tx);
  const runsMarket = role === 'operator' && ownerId === booksId;
  // A sold license stays so: the row is locked by the change itself.
  const {
    issuerId,
    purchaseId,
    ownerId: holderId,
  } = await readLicense(tx, id, runsMarket ? null : { ownerId }, databaseNow);
  if (issuerId === ownerId) return { viewer: { ownerId }, cause: operatorCause };
  if (runsMarket && purchaseId !== null && verb !== 'extend') return { viewer: null, cause: marketCause };
  if (holderId !== ownerId) throw new DomainError('NOT_FOUND', `no license ${id}`);
  throw new DomainError('FORBIDDEN', `only the issuer of ${id} may ${verb} it`);
}

function stateOf({ license }: Changed): string {
  const { state, suspendedBy } = license;
  return suspendedBy.length === 0 ? state : `${state} by ${suspendedBy.join(', ')}`;
}
