import { ScheduleNotFoundError } from '@temporalio/client';
import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { durationSchema } from '../../domain/durations.ts';
import { reflectScheduleId, scheduleIds } from '../../domain/ids.ts';
import { findFleet } from '../../stores/queries/fleets.ts';
import { type ApiContext, fleetOf } from '../context.ts';
import { listRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, emptyBody, problemResponses, textSchema, timeSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';

const prefix = reflectScheduleId('');
const idOfSchedule = z
  .string()
  .regex(
    new RegExp(`^(?:${prefix}[1-9]\\d{0,4}[smhd]|${scheduleIds.join('|')})$`),
    `must be ${prefix} and a cadence, such as ${prefix}6h, or one of ${scheduleIds.join(', ')}`,
  );

const scheduleSchema = z
  .object({
    id: z.string(),
    cadence: durationSchema.nullable().describe('Of the agents that it has reflect; null: it does other work'),
    everySeconds: z.number().nullable().describe('Null: by the calendar'),
    paused: z.boolean(),
    note: z.string(),
    nextRunAt: timeSchema.nullable(),
    lastRunAt: timeSchema.nullable(),
  })
  .meta({ id: 'Schedule' });

const verbs = {
  pause: 'It starts nothing until it is resumed',
  resume: 'It starts its work again at its times',
  trigger: 'Starts its work now, as if its time had come; agents without new memories are left out of a sweep',
} as const;

export function scheduleRoutes(app: Api, context: ApiContext): void {
  const { temporal, starter, schedules, db } = context;

  listRoute(app, {
    url: '/v1/schedules',
    role: 'reader',
    tag: 'schedules',
    summary: 'What happens by the clock: one Schedule per cadence of reflections, and one for each other work',
    item: scheduleSchema,
    filters: {},
    params: z.object({}),
    key: idOfSchedule,
    keyOf: (schedule) => schedule.id,
    rows: async ({ ownerId, limit, after }) => {
      if (!(await findFleet(db, ownerId))) return [];
      const rest = (await schedules.list()).filter((schedule) => after === undefined || schedule.id > after);
      return rest.slice(0, limit);
    },
  });

  for (const [verb, summary] of Object.entries(verbs) as [keyof typeof verbs, string][]) {
    app.route({
      method: 'POST',
      url: `/v1/schedules/:id/${verb}`,
      config: { role: 'operator' },
      schema: {
        tags: ['schedules'],
        summary,
        querystring: writeQuery,
        params: z.strictObject({ id: idOfSchedule }),
        body: verb === 'pause' ? z.strictObject({ note: textSchema(200).optional() }).nullish() : emptyBody,
        response: { 200: z.object({ id: z.string(), paused: z.boolean() }).or(dryRunSchema), ...problemResponses },
      },
      handler: async (request) => {
        const { id } = request.params;
        await fleetOf(context, callerOf(request).ownerId);
        const handle = temporal.schedule.getHandle(id);
        const known = await starter
          .within(() => handle.describe())
          .catch((err: unknown) => {
            throw err instanceof ScheduleNotFoundError
              ? new DomainError('NOT_FOUND', `no schedule ${id}`, { cause: err })
              : err;
          });
        if (request.query.dryRun) return { dryRun: true as const, would: `${verb} ${id}` };
        if (verb === 'trigger') {
          await starter.within(() => handle.trigger());
          return { id, paused: known.state.paused };
        }
        const note = (request.body as { note?: string } | null | undefined)?.note ?? `${verb}d by hand`;
        await starter.within(() => (verb === 'pause' ? handle.pause(note) : handle.unpause(note)));
        return { id, paused: verb === 'pause' };
      },
    });
  }
}
