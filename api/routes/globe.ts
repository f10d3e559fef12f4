import { z } from 'zod';
import { globeLimits } from '../../domain/globe.ts';
import { globeWorkflowId, idSchema, slugSchema } from '../../domain/ids.ts';
import { memoryKinds, threadKinds } from '../../domain/states.ts';
import { readGlobe } from '../../stores/queries/globe.ts';
import type { ApiContext } from '../context.ts';
import { periodRoute } from '../period-routes.ts';
import { callerOf } from '../plugins/roles.ts';
import { problemResponses, timeSchema } from '../schemas.ts';
import type { Api } from '../types.ts';

const places = (most: number) =>
  z
    .array(z.int())
    .max(3 * most)
    .describe('On the unit sphere, in thousandths: x, y and z of the first, of the second, …');

const globeSchema = z
  .object({
    placedAt: timeSchema.nullable().describe('Null before the first time'),
    from: timeSchema.nullable().describe('When the first of its memories happened'),
    to: timeSchema.nullable().describe('When the last of its memories happened'),
    agents: z
      .object({
        ids: z.array(slugSchema).max(globeLimits.agents),
        names: z.array(z.string()),
        maskSeeds: z.array(z.int()),
        places: places(globeLimits.agents),
      })
      .describe('In columns of one length, one value an agent'),
    memories: z
      .object({
        ids: z.array(idSchema('memory')).max(globeLimits.memories),
        agents: z.array(z.int()).describe('Whose it is: place in `agents`; −1 where its agent is not on the globe'),
        kinds: z.array(z.enum(memoryKinds)),
        texts: z.array(z.string()).describe(`The first ${globeLimits.text} characters`),
        times: z.array(z.int()).describe('When it happened, in seconds since 1970'),
        places: places(globeLimits.memories),
      })
      .describe('In columns of one length, one value a memory, in the order in which they happened'),
    arcs: z
      .array(z.object({ threadId: idSchema('thread'), kind: z.enum(threadKinds), from: z.int(), to: z.int() }))
      .max(globeLimits.arcs)
      .describe('Threads from memory to memory: places in `memories`'),
    regions: z
      .array(
        z.object({
          clusterId: idSchema('cluster'),
          terms: z.array(z.string()).describe('Words that set its members apart'),
          members: z.int(),
          middle: z.array(z.int()).length(3).describe('On the unit sphere, in thousandths'),
          reach: z
            .int()
            .describe('How far from its middle three quarters of its members stand, in thousandths of a radian'),
        }),
      )
      .max(globeLimits.regions)
      .describe('Clusters of agents'),
  })
  .meta({ id: 'Globe' });

export function globeRoutes(app: Api, context: ApiContext): void {
  app.route({
    method: 'GET',
    url: '/v1/globe',
    config: { role: 'reader' },
    schema: {
      tags: ['globe'],
      summary: `The memory globe: agents and their weightiest memories by what they say, at most ${globeLimits.memories}, with threads and clusters`,
      response: { 200: globeSchema, ...problemResponses },
    },
    handler: (request) => readGlobe(context.db, callerOf(request).ownerId),
  });

  periodRoute(app, context, {
    url: '/v1/globe/place',
    tag: 'globe',
    summary: 'Places agents and memories on the globe now, each near to where it stood',
    type: 'placeGlobe',
    workflowIdOf: globeWorkflowId,
    title: 'memory globe, by hand',
    would: 'place agents and memories on the globe where something is new',
    location: '/v1/globe',
  });
}
