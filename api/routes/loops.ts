import type { Readable } from 'node:stream';
import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { idSchema, slugSchema } from '../../domain/ids.ts';
import { type LeftOutReason, leftOutReasons, packableKinds } from '../../domain/loop-choice.ts';
import { loopManifestSchema } from '../../domain/loop-manifest.ts';
import { loopMediaType, openLoop } from '../../domain/loop-packages.ts';
import { personaLimits } from '../../domain/persona-files.ts';
import { signingKeyIdSchema } from '../../domain/signing-keys.ts';
import { memoryKinds } from '../../domain/states.ts';
import { newId } from '../../stores/ids.ts';
import { findAgent } from '../../stores/queries/agents.ts';
import { findLoopPackage, listLoopPackages, loopArchive } from '../../stores/queries/loop-packages.ts';
import { hostCrypto } from '../../config/host-crypto.ts';
import { birthTerms, fleetAround } from '../births.ts';
import type { ApiContext } from '../context.ts';
import { listRoute } from '../lists.ts';
import { loopAgent, loopMemories } from '../loop-install.ts';
import { mostNamed, namedChars } from '../loop-choosing.ts';
import { packLoop, signReadable } from '../loop-packing.ts';
import { readInThread } from '../loop-threads.ts';
import { registerStreamBodies } from '../plugins/bodies.ts';
import { callerOf } from '../plugins/roles.ts';
import { problemResponses, switchSchema, textSchema, timeSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';
import { idempotencyHeaders, requestHashOf, startedId } from '../workflow-starts.ts';

const hashSchema = z.string().describe('SHA-256, hex');
const packageShape = {
  id: idSchema('loopPackage'),
  agentId: z.string(),
  name: z.string(),
  contentHash: hashSchema,
  agentHash: hashSchema.describe('Of persona and memories alone'),
  keyId: z.string().describe('Signed with'),
  memories: z.int(),
  reflections: z.int(),
  bytes: z.int(),
  madeAt: timeSchema,
};
const listedSchema = z.object(packageShape).meta({ id: 'LoopPackage' });
const packageSchema = z.object({ ...packageShape, manifest: loopManifestSchema }).meta({ id: 'LoopPackageInFull' });

const choiceSchema = z.strictObject({
  memories: z.boolean().default(true).describe('false: the persona alone'),
  kinds: z.array(z.enum(packableKinds)).min(1).max(packableKinds.length).optional(),
  since: timeSchema.optional().describe('What happened before stays out'),
  leastImportance: z.int().min(1).max(10).default(1),
  personaQuotes: z
    .boolean()
    .default(false)
    .describe('Id, name, persona and traits go out although they say what is private'),
});

const reasonSchema = z.enum(Object.keys(leftOutReasons) as [LeftOutReason]);
const namedShape = {
  id: idSchema('memory'),
  kind: z.enum(memoryKinds),
  occurredAt: timeSchema,
  importance: z.int(),
  text: z.string().describe(`Its first ${namedChars} characters`),
};
const previewSchema = z
  .object({
    dryRun: z.literal(true),
    packageId: idSchema('loopPackage').nullable().describe('The package of this content that is here already'),
    manifest: loopManifestSchema.omit({ madeBy: true }),
    goesIn: z.array(z.object(namedShape)).describe(`The first ${mostNamed} by time`),
    goesInCount: z.int(),
    staysOut: z.array(z.object({ ...namedShape, reason: reasonSchema })).describe(`The first ${mostNamed} by time`),
    staysOutCount: z.int(),
    reasons: z.array(z.object({ reason: reasonSchema, why: z.string(), count: z.int() })),
  })
  .meta({ id: 'LoopPreview' });

const installedSchema = z
  .object({
    agentId: slugSchema,
    name: z.string(),
    installed: z.boolean().describe('False: this package had been installed before, and nothing was added'),
    memories: z.int().describe('Added'),
    contentHash: hashSchema,
    agentHash: hashSchema,
    keyId: z.string(),
    trusted: z.boolean().describe('False: nobody here pinned the key'),
    manifest: loopManifestSchema,
    dryRun: z.literal(true).optional(),
  })
  .meta({ id: 'LoopInstall' });

const loopParams = z.strictObject({ id: idSchema('loopPackage') });

export function loopRoutes(app: Api, context: ApiContext): void {
  const { db, loopPackages, signers, signingKeys, metrics } = context;

  app.route({
    method: 'POST',
    url: '/v1/agents/:id/loops',
    config: { role: 'creator' },
    schema: {
      tags: ['loops'],
      summary: 'Packs an agent as a signed .loop file; a dry run lists what goes in, what stays out and why',
      querystring: writeQuery,
      headers: idempotencyHeaders,
      params: z.strictObject({ id: slugSchema }),
      body: choiceSchema,
      response: { 200: packageSchema.or(previewSchema), 201: packageSchema, ...problemResponses },
    },
    handler: async (request, reply) => {
      const { ownerId, role } = callerOf(request);
      const agent = await findAgent(db, ownerId, request.params.id);
      if (!agent) throw new DomainError('NOT_FOUND', `no agent ${request.params.id}`);
      const requestId = startedId('request', request);
      const bodyHash = requestHashOf({ agentId: agent.id, ...request.body });
      // What a key brought stays, also when the agent has lived on since.
      const before = request.query.dryRun ? undefined : await loopPackages.madeBy(ownerId, requestId, bodyHash);
      if (before !== undefined) return existing(ownerId, before);
      const { fleet } = await fleetAround(context, ownerId);
      const packed = await packLoop(db, { ownerId, agent, fleet, choice: request.body });
      const here = await loopPackages.byContent(ownerId, packed.loop.content.contentHash);
      if (request.query.dryRun) {
        const { loop, ...preview } = packed;
        return { dryRun: true as const, packageId: here ?? null, manifest: loop.content, ...preview };
      }
      const signed = await signReadable(packed.loop, await signers.of(ownerId));
      const { id, made } = await loopPackages.keep({
        ...signed,
        id: newId('loopPackage'),
        requestId,
        bodyHash,
        ownerId,
        agentId: agent.id,
        ...(role === 'operator' ? {} : { most: fleet.people.packagesPerCreator }),
      });
      void reply.header('location', `/v1/loops/${id}`);
      return reply.code(made ? 201 : 200).send(await existing(ownerId, id));
    },
  });

  listRoute(app, {
    url: '/v1/loops',
    role: 'member',
    tag: 'loops',
    summary: 'Loop packages, the last made first',
    item: listedSchema,
    filters: { agentId: slugSchema.optional() },
    params: z.object({}),
    key: idSchema('loopPackage'),
    keyOf: ({ id }) => id,
    rows: (page, filters) => listLoopPackages(db, { ...page, ...filters }),
  });

  app.route({
    method: 'GET',
    url: '/v1/loops/:id',
    config: { role: 'member' },
    schema: {
      tags: ['loops'],
      summary: 'One loop package with its manifest',
      params: loopParams,
      response: { 200: packageSchema, ...problemResponses },
    },
    handler: (request) => existing(callerOf(request).ownerId, request.params.id),
  });

  app.route({
    method: 'GET',
    url: '/v1/loops/:id/archive',
    config: { role: 'member' },
    schema: {
      tags: ['loops'],
      summary: 'The .loop file',
      params: loopParams,
      response: {
        200: { description: 'The file', content: { [loopMediaType]: { schema: z.string() } } },
        ...problemResponses,
      },
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      const { id, agentId, contentHash } = await existing(ownerId, request.params.id);
      const archive = await loopArchive(db, ownerId, id);
      void reply
        .type(loopMediaType)
        .header('etag', `"${contentHash}"`)
        .header('content-disposition', `attachment; filename="${agentId}-${contentHash.slice(0, 12)}.loop"`);
      return reply.send(archive as never);
    },
  });

  app.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    registerStreamBodies(scope as unknown as Api, [loopMediaType]);
    (scope as unknown as Api).route({
      method: 'POST',
      url: '/v1/loops',
      config: { role: 'creator' },
      schema: {
        tags: ['loops'],
        summary:
          'Installs a .loop file: an equal agent with its memories, whole or not at all; twice adds nothing; of a creator it is dormant',
        consumes: [loopMediaType],
        querystring: writeQuery.extend({
          as: slugSchema.optional().describe('Id of the agent; default: made of its name'),
          name: textSchema(personaLimits.nameChars).optional().describe('In the place of the name in the package'),
          archetype: slugSchema.optional().describe('Whose model, cadence and limits it gets; default: its own'),
          trustKey: signingKeyIdSchema
            .optional()
            .describe('A key that the caller has pinned; the owner’s own are, but for revoked ones'),
          trustUnknown: switchSchema.optional().describe('Install it whoever signed it; it must be whole all the same'),
        }),
        response: { 200: installedSchema, 201: installedSchema, ...problemResponses },
      },
      handler: async (request, reply) => {
        const caller = callerOf(request);
        const { ownerId } = caller;
        const { dryRun = false, trustKey, trustUnknown = false, ...wish } = request.query;
        if (request.body === undefined || request.body === null)
          throw new DomainError('MALFORMED_BODY', 'the request has no body');
        const trustedKeys = await signingKeys.trustedBy(ownerId, trustKey);
        if (trustKey !== undefined && !trustedKeys.has(trustKey) && !trustUnknown)
          throw new DomainError('KEY_NOT_PINNED', `${trustKey} was revoked by its owner: it leaked; unpin it`);
        const opened = await openLoop(unclosing(request.body as Readable), {
          checks: hostCrypto,
          isPinned: (keyId) => trustedKeys.has(keyId),
          trustUnknown,
        });
        const read = await readInThread(opened);
        const { manifest, trusted } = read;
        const { version, fleet, admission } = await birthTerms(context, caller);
        const agent = loopAgent(fleet, read, wish);
        const memories = loopMemories(agent.id, read.lines, new Date());
        const arrival = { ownerId, agent, manifest, trusted, admission };
        const { contentHash, agentHash, madeBy } = manifest;
        const about = { contentHash, agentHash, keyId: madeBy.keyId, trusted, manifest };
        const wished = { id: wish.as, name: wish.name };
        if (dryRun) {
          const known = await loopPackages.wouldInstall({ ...arrival, wished });
          const { id: agentId, name } = known ?? agent;
          return {
            ...about,
            ...(known && { keyId: known.keyId, trusted: known.trusted }),
            agentId,
            name,
            installed: !known,
            memories: known ? 0 : memories.length,
            dryRun: true as const,
          };
        }
        const arrived = await loopPackages.install({ ...arrival, wished, fleetVersion: version, memories });
        metrics.memories.inc(arrived.memories);
        void reply.header('location', `/v1/agents/${arrived.agentId}`);
        return reply.code(arrived.installed ? 201 : 200).send({ ...about, ...arrived });
      },
    });
  });

  async function existing(ownerId: string, id: string) {
    const found = await findLoopPackage(db, ownerId, id);
    if (!found) throw new DomainError('NOT_FOUND', `no loop package ${id}`);
    return found;
  }
}

/** A body that is refused half-read must leave the connection open, or the refusal would not arrive. */
function unclosing(body: Readable): AsyncIterable<Uint8Array> {
  return body.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>;
}
