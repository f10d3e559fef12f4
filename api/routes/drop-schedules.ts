import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { dropTargetsSchema } from '../../domain/drops.ts';
import { type DropTimes, dropTimesSchema } from '../../domain/drop-times.ts';
import { invalidInput } from '../../domain/field-errors.ts';
import { idSchema, slugSchema } from '../../domain/ids.ts';
import type { DatabaseTransaction } from '../../stores/database.ts';
import {
  addDropSchedule,
  type DropScheduleRef,
  pauseDropSchedule,
  removeDropSchedule,
} from '../../stores/drop-schedules.ts';
import { newId } from '../../stores/ids.ts';
import { findDropSchedule, listDropSchedules } from '../../stores/queries/drop-schedules.ts';
import type { ApiContext } from '../context.ts';
import { writeOrTry } from '../dry-run.ts';
import { listRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, emptyBody, problemResponses, timeSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';

const tag = 'drops';
const params = z.strictObject({ id: idSchema('dropSchedule') });

const scheduleSchema = z
  .object({
    id: idSchema('dropSchedule'),
    agentId: z.string().nullable(),
    clusterId: z.string().nullable(),
    guildId: z.string().nullable(),
    times: z.array(z.string()),
    weekdays: z.array(z.int()),
    timeZone: z.string(),
    jitterMinutes: z.int(),
    quietFrom: z.string().nullable(),
    quietTo: z.string().nullable(),
    perDay: z.int(),
    channels: z.array(idSchema('channel')),
    paused: z.boolean(),
    note: z.string().describe('Why nothing came of its last time'),
    nextAt: timeSchema,
    createdAt: timeSchema,
  })
  .meta({ id: 'DropSchedule' });

const body = z
  .strictObject({
    agentId: slugSchema.optional(),
    clusterId: idSchema('cluster').optional(),
    guildId: idSchema('guild').optional(),
    channels: dropTargetsSchema.shape.channels,
    when: z
      .record(z.string(), z.unknown())
      .describe('`times`, `weekdays`, `timeZone`, `jitterMinutes`, `quietFrom`, `quietTo`, `perDay`: docs/drops.md'),
  })
  .refine(
    ({ agentId, clusterId, guildId }) => [agentId, clusterId, guildId].filter((one) => one !== undefined).length === 1,
    {
      path: ['agentId'],
      error: 'must be there, or clusterId, or guildId, and one of them alone',
      params: { mend: 'Name whose reflections the drops are composed from.' },
    },
  );

/** When drops are composed from reflections of an agent, a cluster or a guild, and where they go. */
export function dropScheduleRoutes(app: Api, { db }: ApiContext): void {
  app.route({
    method: 'POST',
    url: '/v1/drop-schedules',
    config: { role: 'operator' },
    schema: {
      tags: [tag],
      summary: 'Has drops composed at these times; a channel that asks is asked for each',
      querystring: writeQuery,
      body,
      response: { 200: dryRunSchema, 201: scheduleSchema, ...problemResponses },
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      const { agentId = null, clusterId = null, guildId = null, channels, when } = request.body;
      const times = timesOf(when);
      const id = newId('dropSchedule');
      const schedule = await writeOrTry(db, request.query.dryRun, async (tx) => {
        await addDropSchedule(tx, { ownerId, id, agentId, clusterId, guildId, channels, times });
        return findDropSchedule(tx, ownerId, id);
      });
      if (request.query.dryRun)
        return { dryRun: true as const, would: `compose drops, the first at ${schedule!.nextAt}` };
      return reply.code(201).send(schedule!);
    },
  });

  listRoute(app, {
    url: '/v1/drop-schedules',
    role: 'reader',
    tag,
    summary: 'Schedules of drops, the last made first',
    item: scheduleSchema,
    filters: {},
    params: z.object({}),
    key: idSchema('dropSchedule'),
    keyOf: (schedule) => schedule.id,
    rows: (page) => listDropSchedules(db, page),
  });

  for (const [word, paused] of [
    ['pause', true],
    ['resume', false],
  ] as const) {
    app.route({
      method: 'POST',
      url: `/v1/drop-schedules/:id/${word}`,
      config: { role: 'operator' },
      schema: {
        tags: [tag],
        summary: paused ? 'Composes nothing until `resume`' : 'Composes again from the next time on',
        querystring: writeQuery,
        params,
        body: emptyBody,
        response: { 200: scheduleSchema.or(dryRunSchema), ...problemResponses },
      },
      handler: async (request) => {
        const ref = { ownerId: callerOf(request).ownerId, id: request.params.id };
        const schedule = await changed(ref, request.query.dryRun, (tx) => pauseDropSchedule(tx, ref, paused));
        return request.query.dryRun ? { dryRun: true as const, would: `${word} ${ref.id}` } : schedule;
      },
    });
  }

  app.route({
    method: 'DELETE',
    url: '/v1/drop-schedules/:id',
    config: { role: 'operator' },
    schema: {
      tags: [tag],
      summary: 'Removes a schedule; the drops it has composed stay',
      querystring: writeQuery,
      params,
      body: emptyBody,
      response: { 200: dryRunSchema, 204: z.null(), ...problemResponses },
    },
    handler: async (request, reply) => {
      const ref = { ownerId: callerOf(request).ownerId, id: request.params.id };
      await writeOrTry(db, request.query.dryRun, (tx) => removeDropSchedule(tx, ref));
      if (request.query.dryRun) return { dryRun: true as const, would: `remove ${ref.id}` };
      return reply.code(204).send(null);
    },
  });

  async function changed(
    { ownerId, id }: DropScheduleRef,
    dryRun: boolean | undefined,
    work: (tx: DatabaseTransaction) => Promise<void>,
  ) {
    await writeOrTry(db, dryRun, work);
    const schedule = await findDropSchedule(db, ownerId, id);
    if (!schedule) throw new DomainError('NOT_FOUND', `no schedule ${id}`);
    return schedule;
  }
}

/** @throws INVALID_INPUT */
function timesOf(when: Record<string, unknown>): DropTimes {
  const times = dropTimesSchema.safeParse(when);
  if (!times.success) throw invalidInput(times.error, when, dropTimesSchema, 'when.');
  return times.data;
}
