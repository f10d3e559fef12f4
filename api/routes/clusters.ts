import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { clusterWorkflowId, idSchema, slugSchema } from '../../domain/ids.ts';
import { clusterStates, driftStates } from '../../domain/states.ts';
import { findCluster, listClusterRuns, listClusters } from '../../stores/queries/clusters.ts';
import type { ApiContext } from '../context.ts';
import { listRoute } from '../lists.ts';
import { periodRoute } from '../period-routes.ts';
import { callerOf } from '../plugins/roles.ts';
import { problemResponses, timeSchema } from '../schemas.ts';
import type { Api } from '../types.ts';

const clusterId = idSchema('cluster');
const clusterSchema = z
  .object({
    id: clusterId,
    state: z.enum(clusterStates),
    members: z.int().describe('In the last run it was in'),
    terms: z.array(z.string()).describe('Words that set its members apart'),
    splitFrom: clusterId.nullable(),
    mergedInto: clusterId.nullable(),
    bornAt: timeSchema,
    endedAt: timeSchema.nullable(),
  })
  .meta({ id: 'Cluster' });

const clusterDetailSchema = clusterSchema
  .extend({
    agents: z.array(z.object({ id: slugSchema, name: z.string(), drift: z.enum(driftStates).nullable() })),
    why: z
      .array(
        z.object({
          term: z.string(),
          quotes: z.array(z.object({ agentId: slugSchema, outputId: z.string(), quote: z.string() })),
        }),
      )
      .describe('Its words with what members said, as they said it'),
    run: z
      .object({
        id: idSchema('clusterRun'),
        period: z.string(),
        agents: z.int().describe('Agents that were looked at'),
        sampledShare: z.number().describe('Of them were clustered themselves; under 1 the others were assigned'),
        madeAt: timeSchema,
      })
      .nullable(),
  })
  .meta({ id: 'ClusterDetail' });

const clusterRunSchema = z
  .object({
    id: idSchema('clusterRun'),
    period: z.string(),
    agents: z.int().describe('Agents that were looked at'),
    clusters: z.int(),
    apart: z.int().describe('Agents in no cluster'),
    sampledShare: z.number().describe('Of the agents were clustered themselves; under 1 the others were assigned'),
    memoryLimitMib: z.int(),
    skipped: z.boolean().describe('Too few agents had a vector: the clusters there are stayed'),
    reason: z.string(),
    seconds: z.number(),
    madeAt: timeSchema,
  })
  .meta({ id: 'ClusterRun' });

export function clusterRoutes(app: Api, context: ApiContext): void {
  const { db } = context;

  listRoute(app, {
    url: '/v1/clusters',
    role: 'reader',
    tag: 'clusters',
    summary: 'Groups of agents that speak and drift alike, the last born first',
    item: clusterSchema,
    filters: { state: z.enum(clusterStates).optional() },
    params: z.object({}),
    key: clusterId,
    keyOf: (cluster) => cluster.id,
    rows: (page, filters) => listClusters(db, { ...page, ...filters }),
  });

  listRoute(app, {
    url: '/v1/cluster-runs',
    role: 'reader',
    tag: 'clusters',
    summary: 'What each run of clustering looked at and found, the newest first',
    item: clusterRunSchema,
    filters: {},
    params: z.object({}),
    key: idSchema('clusterRun'),
    keyOf: (run) => run.id,
    rows: (page) => listClusterRuns(db, page),
  });

  app.route({
    method: 'GET',
    url: '/v1/clusters/:id',
    config: { role: 'reader' },
    schema: {
      tags: ['clusters'],
      summary: 'One cluster with its members, and why they stand together in their own words',
      params: z.strictObject({ id: clusterId }),
      response: { 200: clusterDetailSchema, ...problemResponses },
    },
    handler: async (request) => {
      const cluster = await findCluster(db, callerOf(request).ownerId, request.params.id);
      if (!cluster) throw new DomainError('NOT_FOUND', `no cluster ${request.params.id}`);
      return cluster;
    },
  });

  periodRoute(app, context, {
    url: '/v1/clusters/find',
    tag: 'clusters',
    summary: 'Clusters the agents now, by the drift ratings there are',
    type: 'clusterAgents',
    workflowIdOf: clusterWorkflowId,
    title: 'clusters of agents, by hand',
    would: 'cluster the agents that have a rating of drift',
    location: '/v1/clusters',
  });
}
