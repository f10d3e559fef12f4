import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { slugSchema } from '../../domain/ids.ts';
import { decodeUtf8, parseJsonText } from '../../domain/json-text.ts';
import { personaExports, personaFormats, personaLimits } from '../../domain/persona-files.ts';
import { readCardPng } from '../../integrations/importers/card-png.ts';
import { readPersona } from '../../integrations/importers/persona-importer.ts';
import { writePersona } from '../../integrations/importers/persona-writers.ts';
import { findAgent } from '../../stores/queries/agents.ts';
import { birthTerms } from '../births.ts';
import type { ApiContext } from '../context.ts';
import { importedId, seedMemories, workingLike } from '../persona-import.ts';
import { callerOf } from '../plugins/roles.ts';
import { problemResponses, switchSchema, textSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';

/** A character is text; with a picture around it, and that picture is kept. */
const documentLimit = 1024 * 1024;
const pictureLimit = 8 * 1024 * 1024;
const mediaTypes = ['application/json', 'image/png'] as const;

const lostSchema = z.array(
  z.object({
    field: z.string(),
    kept: z.boolean().describe('Given back by an export to the same format; false: it was not stored'),
    reason: z.string(),
  }),
);
const importedSchema = z
  .object({
    agentId: slugSchema,
    born: z.boolean().describe('False: this file had been imported under this id before'),
    format: z.enum(personaFormats),
    name: z.string(),
    persona: z.string(),
    traits: z.array(z.string()),
    memories: z.int().describe('Added to what it remembers'),
    lost: lostSchema.describe('Fields of the file that have no effect here'),
    notes: z
      .array(z.object({ path: z.string(), rule: z.string(), mend: z.string() }))
      .describe('What was changed so that it could go in'),
    dryRun: z.literal(true).optional(),
  })
  .meta({ id: 'PersonaImport' });

export function personaRoutes(app: Api, context: ApiContext): void {
  const { db, personas, metrics } = context;

  app.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    for (const type of mediaTypes) {
      scope.addContentTypeParser(type, { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
    }
    (scope as unknown as Api).route({
      method: 'POST',
      url: '/v1/agents/import',
      config: { role: 'creator' },
      bodyLimit: pictureLimit,
      schema: {
        tags: ['agents'],
        summary:
          'An agent is born of a character of ElizaOS or a character card (V1, V2, V3; JSON or PNG); of a creator it is dormant',
        consumes: [...mediaTypes],
        querystring: writeQuery.extend({
          as: slugSchema.optional().describe('Id of the agent; default: made of its name'),
          name: textSchema(personaLimits.nameChars).optional().describe('In the place of the name in the file'),
          archetype: slugSchema.optional().describe('Whose model, cadence and limits it gets; default: the first'),
          memories: switchSchema.optional().describe('Its facts and examples become memories of source `import`'),
        }),
        response: { 200: importedSchema, 201: importedSchema, ...problemResponses },
      },
      handler: async (request, reply) => {
        const caller = callerOf(request);
        const { ownerId } = caller;
        const { as, name, archetype, memories: remembers = false, dryRun = false } = request.query;
        const { json, picture } = fileOf(request.body, request.headers['content-type']);
        const { seeds: all, lost, notes, ...read } = readPersona(json, { name });
        const { version, fleet, admission } = await birthTerms(context, caller);
        const agent = workingLike(fleet, archetype, { ...read, id: importedId(read.name, as) });
        const file = { format: read.format, document: read.document };
        const coming = { ownerId, agent, file, admission };
        const wouldBeBorn = await personas.wouldBeBorn(coming);
        const seeds = remembers ? seedMemories(agent.id, all, new Date()) : [];
        const { persona, traits } = agent;
        const about = { agentId: agent.id, format: file.format, name: agent.name, persona, traits, lost, notes };
        if (dryRun) return { ...about, born: wouldBeBorn, memories: seeds.length, dryRun: true as const };
        const arrived = await personas.arrive({ ...coming, fleetVersion: version, picture, seeds });
        metrics.memories.inc(arrived.memories);
        void reply.header('location', `/v1/agents/${agent.id}`);
        return reply.code(arrived.born ? 201 : 200).send({ ...about, ...arrived });
      },
    });
  });

  app.route({
    method: 'GET',
    url: '/v1/agents/:id/export',
    config: { role: 'reader' },
    schema: {
      tags: ['agents'],
      summary:
        'The persona as a character of ElizaOS or a character card; `x-soulfra-lost` names what has no place in it',
      params: z.strictObject({ id: slugSchema }),
      querystring: z.strictObject({ format: z.enum(personaExports) }),
      response: {
        200: {
          description: 'The file',
          content: { 'application/json': { schema: z.looseObject({}) }, 'image/png': { schema: z.string() } },
        },
        ...problemResponses,
      },
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      const { id } = request.params;
      const agent = await findAgent(db, ownerId, id);
      if (!agent) throw new DomainError('NOT_FOUND', `no agent ${id}`);
      const stored = await personas.file(ownerId, id);
      const { name, persona, traits, maskSeed } = agent;
      const written = writePersona(
        { name, persona, traits, maskSeed, file: stored, picture: stored?.picture },
        request.query.format,
      );
      void reply
        .type(written.mediaType)
        .header('content-disposition', `attachment; filename="${id}.${written.suffix}"`)
        .header('x-soulfra-lost', written.lost.map(({ field }) => encodeURIComponent(field)).join(','));
      return reply.send(written.body as never);
    },
  });
}

/** @throws MALFORMED_BODY, BODY_TOO_LARGE */
function fileOf(body: unknown, mediaType = ''): { json: unknown; picture?: Buffer } {
  if (!Buffer.isBuffer(body) || body.length === 0) throw new DomainError('MALFORMED_BODY', 'the request has no body');
  if (mediaType.split(';')[0]!.trim().toLowerCase() === 'image/png')
    return readCardPng(body, { cardLimit: documentLimit });
  if (body.length > documentLimit)
    throw new DomainError('BODY_TOO_LARGE', `a character is ${documentLimit} bytes at most`);
  return { json: parseJsonText(decodeUtf8(body)) };
}
