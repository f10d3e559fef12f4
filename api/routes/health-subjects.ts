import { z } from 'zod';
import { unjudgedAfterSeconds } from '../../domain/health.ts';
import { healthKinds, type HealthState, healthStates } from '../../domain/states.ts';
import { countHealth, type HealthKey, listHealth, listHealthChanges } from '../../stores/queries/health.ts';
import type { ApiContext } from '../context.ts';
import { createReadiness, notConfigured } from '../health.ts';
import { listRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import { problemResponses, timeSchema } from '../schemas.ts';
import type { Api } from '../types.ts';

const kindSchema = z.enum(healthKinds);
const stateSchema = z.enum(healthStates);

const healthSchema = z
  .object({
    kind: kindSchema,
    id: z.string(),
    name: z.string(),
    state: stateSchema,
    reason: z.string(),
    since: timeSchema,
    pendingState: stateSchema.nullable().describe('Seen in the last look, and not yet often enough to count'),
  })
  .meta({ id: 'Health' });

const changeSchema = z
  .object({
    seq: z.string(),
    kind: kindSchema,
    id: z.string(),
    from: stateSchema.nullable().describe('Null: it was judged for the first time'),
    to: stateSchema,
    reason: z.string(),
    at: timeSchema,
  })
  .meta({ id: 'HealthChange' });

const counts = z.record(stateSchema, z.int());
const summarySchema = z
  .object({
    state: stateSchema.describe(
      'That of the worst subject; lost where nobody judges, failing where a look is behind or what the API stands on does not answer',
    ),
    reason: z.string(),
    judgedAt: timeSchema.nullable(),
    counts,
    kinds: z.array(z.object({ kind: kindSchema, counts })),
    worst: z.array(healthSchema).describe('The first of what is not ok'),
  })
  .meta({ id: 'HealthSummary' });

const subject = z.string().min(1).max(200);
const mostWorst = 12;
const keySchema = z.string().regex(new RegExp(`^[1-${healthStates.length}] (${healthKinds.join('|')}) [^\\0]{1,200}$`));

/** As the column `rank` has it. */
function rankOf(state: HealthState): number {
  return healthStates.indexOf(state) + 1;
}

function keyOf(text: string): HealthKey {
  const [rank, kind, ...id] = text.split(' ');
  return { rank: Number(rank), kind: kind!, id: id.join(' ') };
}

export function healthSubjectRoutes(app: Api, context: ApiContext): void {
  const { db } = context;
  const readiness = createReadiness(context);

  listRoute(app, {
    url: '/v1/health',
    role: 'reader',
    tag: 'health',
    summary: 'How every part does, the worst first',
    item: healthSchema,
    filters: {
      kind: kindSchema.optional(),
      state: stateSchema.optional(),
      atLeast: z.enum(['late', 'failing', 'lost']).optional().describe('Only what is at least so bad'),
    },
    params: z.object({}),
    key: keySchema,
    keyOf: ({ state, kind, id }) => `${rankOf(state)} ${kind} ${id}`,
    rows: ({ ownerId, limit, after }, { kind, state, atLeast }) =>
      listHealth(db, {
        ownerId,
        limit,
        kind,
        state,
        worstRanks: atLeast === undefined ? undefined : rankOf(atLeast),
        after: after === undefined ? undefined : keyOf(after),
      }),
  });

  listRoute(app, {
    url: '/v1/health/changes',
    role: 'reader',
    tag: 'health',
    summary: 'How health has changed, the last first; of one subject with kind and id',
    item: changeSchema,
    filters: { kind: kindSchema.optional(), id: subject.optional() },
    params: z.object({}),
    key: z.string().regex(/^\d{1,15}$/),
    keyOf: ({ seq }) => seq,
    rows: (page, filters) => listHealthChanges(db, { ...page, ...filters }),
  });

  app.route({
    method: 'GET',
    url: '/v1/health/summary',
    config: { role: 'reader' },
    schema: {
      tags: ['health'],
      summary: 'How the fleet does, in one screen',
      response: { 200: summarySchema, ...problemResponses },
    },
    handler: async (request) => {
      const { ownerId } = callerOf(request);
      const [{ judgedAt, behind, counts: rows }, { parts }] = await Promise.all([
        countHealth(db, ownerId),
        readiness(),
      ]);
      const none = () => Object.fromEntries(healthStates.map((state) => [state, 0])) as Record<HealthState, number>;
      const total = none();
      const kinds = healthKinds.map((kind) => ({ kind, counts: none() }));
      for (const { kind, state, count } of rows) {
        total[state] += count;
        kinds[healthKinds.indexOf(kind)]!.counts[state] += count;
      }
      const worst = await listHealth(db, { ownerId, limit: mostWorst, worstRanks: rankOf('late') });
      const unjudged = behind.filter(({ seconds }) => seconds > unjudgedAfterSeconds).map(({ look }) => look);
      const silent = unjudged.length > 0 && unjudged.length === behind.length;
      const down = Object.entries(parts).filter(([, part]) => part.state === 'down' && part.reason !== notConfigured);
      const states: HealthState[] = [
        worst[0]?.state ?? 'ok',
        ...(silent ? (['lost'] as const) : unjudged.length > 0 || down.length > 0 ? (['failing'] as const) : []),
      ];
      return {
        state: states.toSorted((a, b) => rankOf(a) - rankOf(b))[0]!,
        reason: [
          ...down.map(([name, part]) => `${name}: ${part.reason ?? 'does not answer'}`),
          ...(silent
            ? ['nobody judges: no worker coordinates; what stands here is of then']
            : unjudged.length > 0
              ? [`nobody has judged ${unjudged.join(', ')} of late; what stands here of them is of then`]
              : []),
        ].join('; '),
        judgedAt,
        counts: total,
        kinds: kinds.filter((of) => Object.values(of.counts).some((count) => count > 0)),
        worst,
      };
    },
  });
}
