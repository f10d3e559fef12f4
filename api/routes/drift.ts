import { z } from 'zod';
import { judgementKinds, judgementStates } from '../../domain/consistency.ts';
import { DomainError } from '../../domain/errors.ts';
import { driftWorkflowId, idSchema, slugSchema } from '../../domain/ids.ts';
import { driftStates } from '../../domain/states.ts';
import { findAgent } from '../../stores/queries/agents.ts';
import { listAgentDrift, listDriftRatings } from '../../stores/queries/drift.ts';
import type { ApiContext } from '../context.ts';
import { listRoute } from '../lists.ts';
import { periodRoute } from '../period-routes.ts';
import { timeSchema } from '../schemas.ts';
import type { Api } from '../types.ts';

const distance = z.number().describe('1 − cosine of what was said of late and the anchor, 0 to 2');
const deviations = z
  .number()
  .nullable()
  .describe('Deviations over the agent’s own usual; null while nothing is usual yet');

const driftRatingSchema = z
  .object({
    id: idSchema('driftRating'),
    agentId: z.string(),
    period: z.string(),
    state: z.enum(driftStates),
    drift: distance,
    weighted: distance.describe('The same with the later outputs weighted more; what z is made of'),
    z: deviations,
    windowSize: z.int().describe('Outputs that were recent'),
    history: z.int().describe('Outputs before them that say what is usual'),
    model: z.string().describe('Whose vectors were compared; numbers of two models do not compare'),
    spaceId: z.string().nullable().describe('The persona space they were compared in; null: plain vectors'),
    reason: z.string(),
    ratedAt: timeSchema,
    judgement: z
      .object({
        state: z.enum(judgementStates).describe('none: nothing was judged, `reason` says why'),
        scores: z
          .record(
            z.enum(judgementKinds),
            z.object({
              mean: z.number().describe('1 is consistent throughout'),
              spread: z.number().describe('Standard deviation over the samples'),
              samples: z.array(z.number()),
            }),
          )
          .nullable(),
        samples: z.int().describe('How often each was asked for'),
        modelId: z.string().nullable(),
        promptVersion: z.string().nullable(),
        tokens: z.int(),
        reason: z.string(),
      })
      .nullable()
      .describe('What a model says of an agent that drifts; null where none was asked'),
  })
  .meta({ id: 'DriftRating' });

const agentDriftSchema = z
  .object({
    agentId: slugSchema,
    name: z.string(),
    state: z.enum(driftStates).nullable().describe('Null: not rated yet, `why` says what is missing'),
    since: timeSchema.nullable(),
    drift: distance.nullable(),
    weighted: distance.nullable(),
    z: deviations,
    period: z.string().nullable(),
    ratedAt: timeSchema.nullable(),
    why: z.string(),
  })
  .meta({ id: 'AgentDrift' });

export function driftRoutes(app: Api, context: ApiContext): void {
  const { db } = context;

  listRoute(app, {
    url: '/v1/drift',
    role: 'reader',
    tag: 'drift',
    summary: 'How far agents stand from their personas, by id; without a state also those not rated yet',
    item: agentDriftSchema,
    filters: { state: z.enum(driftStates).optional() },
    params: z.object({}),
    key: slugSchema,
    keyOf: (agent) => agent.agentId,
    rows: (page, filters) => listAgentDrift(db, { ...page, ...filters }),
  });

  listRoute(app, {
    url: '/v1/agents/:id/drift',
    role: 'reader',
    tag: 'drift',
    summary: 'Ratings of an agent, the last first',
    item: driftRatingSchema,
    filters: {},
    params: z.strictObject({ id: slugSchema }),
    key: idSchema('driftRating'),
    keyOf: (rating) => rating.id,
    rows: async (page, _filters, { id }) => {
      if (!(await findAgent(db, page.ownerId, id))) throw new DomainError('NOT_FOUND', `no agent ${id}`);
      return listDriftRatings(db, { ...page, agentId: id });
    },
  });

  periodRoute(app, context, {
    url: '/v1/drift/rate',
    tag: 'drift',
    summary: 'Rates now every agent that has said something new',
    type: 'rateDrift',
    workflowIdOf: driftWorkflowId,
    title: 'drift of every agent, by hand',
    would: 'rate every agent that has said something new',
    location: '/v1/drift',
  });
}
