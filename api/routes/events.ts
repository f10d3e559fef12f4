import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { currentGeneration } from '../../stores/queries/backups.ts';
import { cursorBeforeLast, cursorSinceRestore, type EventCursor, eventHorizon } from '../../stores/queries/events.ts';
import type { ApiContext } from '../context.ts';
import { createEventFeed, parseCursor } from '../event-feed.ts';
import { beginStream } from '../event-streams.ts';
import { callerOf } from '../plugins/roles.ts';
import { problemResponses } from '../schemas.ts';
import type { Api } from '../types.ts';

const cursorSchema = z.string().regex(/^(?:\d{1,9}\.)?\d{1,19}-\d{1,16}$/, 'must be the id of an event');

export function eventRoutes(app: Api, context: ApiContext): void {
  const feed = createEventFeed({
    db: context.db,
    listen: context.listen,
    log: context.log,
    pollSeconds: context.eventPollSeconds ?? 10,
    onStreams: (open) => context.metrics.streams.set(open),
  });
  // Before the server waits for its connections to end, or it would wait for these for ever.
  app.addHook('preClose', () => feed.close());

  app.route({
    method: 'GET',
    url: '/v1/events',
    config: { role: 'reader' },
    schema: {
      tags: ['events'],
      summary: 'What happens, as server-sent events: each once, in order, none missed',
      querystring: z.strictObject({
        after: cursorSchema.optional().describe('Only events after this one; Last-Event-ID goes before it'),
        last: z.coerce.number().int().min(0).max(200).optional().describe('Begin with the last ones there are'),
        type: z
          .string()
          .regex(/^[a-z]+(\.[a-z_]+)?$/, 'must be a noun such as run, or a type such as run.done')
          .optional(),
      }),
      headers: z.looseObject({ 'last-event-id': z.union([cursorSchema, z.literal('')]).optional() }),
      response: {
        200: { description: 'A stream', content: { 'text/event-stream': { schema: z.string() } } },
        ...problemResponses,
      },
    },
    handler: async (request, reply) => {
      const { ownerId, tokenId } = callerOf(request);
      feed.admit(tokenId);
      const { after, last, type } = request.query;
      const asked = request.headers['last-event-id'];
      const from = typeof asked === 'string' && asked !== '' ? asked : after;
      const generation = await currentGeneration(context.db);
      const cursor =
        from === undefined
          ? last === undefined
            ? await eventHorizon(context.db)
            : await cursorBeforeLast(context.db, ownerId, last)
          : await told(context, from, generation);
      await feed.follow(beginStream(reply), {
        ownerId,
        tokenId,
        generation,
        after: cursor,
        isAllowed: () => context.principals.isLive(tokenId),
        wants: (event) => type === undefined || event.type === type || event.type.startsWith(`${type}.`),
      });
    },
  });
}

/** Transaction numbers of before a restore say nothing of those after it. */
async function told({ db }: ApiContext, text: string, current: number): Promise<EventCursor> {
  const parsed = parseCursor(text);
  if (parsed === undefined) throw new DomainError('INVALID_INPUT', 'the cursor must be the id of an event');
  const { generation, cursor } = parsed;
  return generation === current ? cursor : cursorSinceRestore(db, generation, cursor.id);
}
