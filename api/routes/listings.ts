import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { idSchema } from '../../domain/ids.ts';
import {
  creatorsSchema,
  listingLimits,
  modelStatementSchema,
  offeredKindsSchema,
  termsVersionSchema,
  wholeCreatorPart,
} from '../../domain/listings.ts';
import { loopManifestSchema } from '../../domain/loop-manifest.ts';
import { listingStates } from '../../domain/states.ts';
import { changeListing, createListing, moveListing, type Offer } from '../../stores/listings.ts';
import { findListing, listListings } from '../../stores/queries/listings.ts';
import { findLoopPackage } from '../../stores/queries/loop-packages.ts';
import type { ApiContext } from '../context.ts';
import { writeOrTry } from '../dry-run.ts';
import { packageHashSchema } from '../license-schemas.ts';
import { listRoute } from '../lists.ts';
import { priceSchema } from '../market-schemas.ts';
import { callerOf } from '../plugins/roles.ts';
import { ifMatchHeaders, matchedVersion, sendETag } from '../preconditions.ts';
import {
  dryRunSchema,
  emptyBody,
  problemResponses,
  switchSchema,
  textSchema,
  timeSchema,
  writeQuery,
} from '../schemas.ts';
import type { Api } from '../types.ts';
import { idempotencyHeaders, requestHashOf, startedId } from '../workflow-starts.ts';

const tag = 'market';
const title = textSchema(listingLimits.titleChars);
const summary = z.union([textSchema(listingLimits.summaryChars), z.literal('')]);

const listingSchema = z
  .object({
    id: idSchema('listing'),
    seller: z.string(),
    state: z.enum(listingStates),
    title: z.string(),
    summary: z.string(),
    price: priceSchema,
    kinds: z.array(z.string()).describe('Kinds of licenses that are sold'),
    termsVersion: z.string(),
    creators: z.array(z.object({ userId: z.string(), weight: z.int() })),
    modelStatement: z.string().describe('What the seller has found out about models of unknown license'),
    packageId: z.string(),
    contentHash: packageHashSchema,
    agentName: z.string(),
    memories: z.int(),
    reflections: z.int(),
    models: loopManifestSchema.shape.models,
    version: z.int().describe('Its `ETag`'),
    takenDown: z.string().nullable().describe('Why who runs the marketplace has taken it off; null: it is not'),
    createdAt: timeSchema,
    changedAt: timeSchema,
  })
  .meta({ id: 'Listing' });

const offerShape = {
  title,
  summary,
  price: priceSchema,
  termsVersion: termsVersionSchema,
  kinds: offeredKindsSchema,
  creators: creatorsSchema,
  modelStatement: z.union([modelStatementSchema, z.literal('')]),
};
const newBody = z.strictObject({
  ...offerShape,
  packageId: idSchema('loopPackage'),
  title: title.optional().describe('Default: the name of the agent'),
  summary: summary.optional(),
  creators: creatorsSchema.optional().describe('Default: the seller alone'),
  modelStatement: offerShape.modelStatement.optional(),
});
const changeBody = z
  .strictObject(offerShape)
  .partial()
  .refine((body) => Object.keys(body).length > 0, { error: 'must change something' });

const listingParams = z.strictObject({ id: idSchema('listing') });

export function listingRoutes(app: Api, { db }: ApiContext): void {
  app.route({
    method: 'POST',
    url: '/v1/listings',
    config: { role: 'creator' },
    schema: {
      tags: [tag],
      summary: 'A draft that offers one package; `list` puts it on offer',
      querystring: writeQuery,
      headers: idempotencyHeaders,
      body: newBody,
      response: { 200: dryRunSchema, 201: listingSchema, ...problemResponses },
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      const { packageId, ...said } = request.body;
      const pinned = await findLoopPackage(db, ownerId, packageId);
      if (!pinned) throw new DomainError('NOT_FOUND', `no loop package ${packageId}`);
      const id = startedId('listing', request);
      const listing = {
        summary: '',
        modelStatement: '',
        ...said,
        title: said.title ?? pinned.name.slice(0, listingLimits.titleChars),
        creators: said.creators ?? [{ userId: ownerId, weight: wholeCreatorPart }],
        id,
        ownerId,
        packageId,
        requestHash: requestHashOf(request.body),
      };
      const made = await writeOrTry(db, request.query.dryRun, (tx) =>
        createListing(tx, listing as typeof listing & Offer),
      );
      if (request.query.dryRun) return { dryRun: true as const, would: `draft a listing of ${packageId}` };
      if (!made) void reply.header('idempotent-replayed', 'true');
      const view = await existing(ownerId, id);
      sendETag(reply, view.version);
      void reply.header('location', `/v1/listings/${id}`);
      return reply.code(201).send(view);
    },
  });

  listRoute(app, {
    url: '/v1/listings',
    role: 'reader',
    tag,
    summary: 'What is on offer, and your own listings in any state, the last made first',
    item: listingSchema,
    filters: {
      state: z.enum(listingStates).optional(),
      mine: switchSchema.optional().describe('true: only your own'),
      contentHash: packageHashSchema.optional(),
    },
    params: z.object({}),
    key: idSchema('listing'),
    keyOf: ({ id }) => id,
    rows: (page, filters) => listListings(db, { ...page, ...filters }),
  });

  app.route({
    method: 'GET',
    url: '/v1/listings/:id',
    config: { role: 'reader' },
    schema: {
      tags: [tag],
      summary: 'One listing that is on offer, or your own',
      params: listingParams,
      response: { 200: listingSchema, ...problemResponses },
    },
    handler: async (request, reply) => {
      const view = await existing(callerOf(request).ownerId, request.params.id);
      sendETag(reply, view.version);
      return view;
    },
  });

  app.route({
    method: 'PATCH',
    url: '/v1/listings/:id',
    config: { role: 'creator' },
    schema: {
      tags: [tag],
      summary: 'Changes what is offered; what was sold keeps what it was sold with. Needs If-Match',
      querystring: writeQuery,
      headers: ifMatchHeaders,
      params: listingParams,
      body: changeBody,
      response: { 200: listingSchema.or(dryRunSchema), ...problemResponses },
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      const { id } = request.params;
      await own(ownerId, id);
      const version = matchedVersion(request, true);
      await writeOrTry(db, request.query.dryRun, (tx) =>
        changeListing(tx, { id, ownerId, version }, request.body as Partial<Offer>),
      );
      if (request.query.dryRun)
        return { dryRun: true as const, would: `change ${Object.keys(request.body).join(', ')} of ${id}` };
      const view = await existing(ownerId, id);
      sendETag(reply, view.version);
      return view;
    },
  });

  for (const { verb, to, summary: says } of [
    { verb: 'list', to: 'listed', summary: 'Puts it on offer: everybody can see and buy it' },
    { verb: 'pause', to: 'paused', summary: 'Takes it off; nobody can buy it until it is listed again' },
    { verb: 'retire', to: 'retired', summary: 'Takes it off for good' },
  ] as const) {
    app.route({
      method: 'POST',
      url: `/v1/listings/:id/${verb}`,
      config: { role: 'creator' },
      schema: {
        tags: [tag],
        summary: says,
        querystring: writeQuery,
        headers: ifMatchHeaders,
        params: listingParams,
        body: emptyBody,
        response: { 200: listingSchema.or(dryRunSchema), ...problemResponses },
      },
      handler: async (request, reply) => {
        const { ownerId } = callerOf(request);
        const { id } = request.params;
        await own(ownerId, id);
        const version = matchedVersion(request, false);
        await writeOrTry(db, request.query.dryRun, (tx) => moveListing(tx, { id, ownerId, version }, to));
        if (request.query.dryRun) return { dryRun: true as const, would: `${verb} ${id}` };
        const view = await existing(ownerId, id);
        sendETag(reply, view.version);
        return view;
      },
    });
  }

  async function existing(ownerId: string, id: string) {
    const found = await findListing(db, ownerId, id);
    if (!found) throw new DomainError('NOT_FOUND', `no listing ${id}`);
    return found;
  }

  /** Whoever may see it; only its seller changes it. */
  async function own(ownerId: string, id: string): Promise<void> {
    if ((await existing(ownerId, id)).seller !== ownerId)
      throw new DomainError('NOT_FOUND', `no listing ${id} of yours`);
  }
}
