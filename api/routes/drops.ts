import { createHash } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { canonicalJson, type CanonicalValue } from '../../domain/canonical-json.ts';
import { channelKindNames } from '../../domain/channel-kinds.ts';
import { graphemeCount } from '../../domain/channel-texts.ts';
import { cleanText } from '../../domain/clean-text.ts';
import { dropTargetsSchema, dropWordsSchema } from '../../domain/drops.ts';
import { DomainError } from '../../domain/errors.ts';
import { fieldError } from '../../domain/field-errors.ts';
import { dropWorkflowId, idSchema, slugSchema } from '../../domain/ids.ts';
import { dropStates } from '../../domain/states.ts';
import { channelKind } from '../../integrations/channels/kinds.ts';
import type { DatabaseTransaction } from '../../stores/database.ts';
import { addDrop, approveDrop, type DropRef, editDrop, rejectDrop, scheduleDrop } from '../../stores/drops.ts';
import { findChannel } from '../../stores/queries/channels.ts';
import { attemptsOfDrop, type DropView, findDrop, listDropDeliveries, listDrops } from '../../stores/queries/drops.ts';
import type { ApiContext } from '../context.ts';
import { writeOrTry } from '../dry-run.ts';
import { dropChangeBody, dropDetailSchema, dropParams, dropSchema, newDropBody } from '../drop-schemas.ts';
import { listRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import { ifMatchHeaders, matchedVersion, sendETag } from '../preconditions.ts';
import { dryRunSchema, emptyBody, problemResponses, textSchema, timeSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';
import { idempotencyHeaders, startedId } from '../workflow-starts.ts';

const tag = 'drops';
/** A time further away than this is a slip of the pen. */
const furthestMs = 5 * 366 * 86_400_000;
/** Clocks of callers differ. */
const clockMs = 60_000;
const answers = { 200: dropSchema.or(dryRunSchema), ...problemResponses };

const previewBody = z.strictObject({
  channels: dropTargetsSchema.shape.channels,
  title: dropWordsSchema.shape.title.default(''),
  body: dropWordsSchema.shape.body,
  bodies: dropWordsSchema.shape.bodies.default({}),
});
const previewSchema = z
  .object({
    channelId: idSchema('channel'),
    name: z.string(),
    kind: z.enum(channelKindNames),
    text: z.string().describe('As it would leave'),
    characters: z.int().describe('Signs that a reader sees'),
    cut: z.boolean().describe('Something was left out at its end'),
  })
  .meta({ id: 'DropPreview' });

/** Cut texts end in `…`, where the words themselves do not. */
function isCut(text: string, body: string): boolean {
  return text.endsWith('…') && !cleanText(body).endsWith('…');
}

/** Myth drops (posts): written, approved, sent on their way, changed and taken back. What became of each: api/routes/deliveries.ts. */
export function dropRoutes(app: Api, { db, publishing, starter, linksTo }: ApiContext): void {
  app.route({
    method: 'POST',
    url: '/v1/drops',
    config: { role: 'creator' },
    schema: {
      tags: [tag],
      summary: 'Drafts a myth drop (post); `publish` sends it on its way',
      querystring: writeQuery,
      headers: idempotencyHeaders,
      body: newDropBody,
      response: { 200: dryRunSchema, 201: dropSchema, ...problemResponses },
    },
    handler: async (request, reply) => {
      const ref = { ownerId: callerOf(request).ownerId, id: startedId('drop', request) };
      const contentHash = createHash('sha256')
        .update(canonicalJson(request.body as unknown as CanonicalValue))
        .digest('hex');
      const made = await writeOrTry(db, request.query.dryRun, (tx) =>
        addDrop(tx, { ...request.body, ...ref, source: 'person', degraded: false, contentHash }),
      );
      if (request.query.dryRun)
        return { dryRun: true as const, would: `draft a drop for ${request.body.channels.length} channels` };
      if (!made.added) void reply.header('idempotent-replayed', 'true');
      const view = await existing(ref);
      sendETag(reply, view.version);
      void reply.header('location', `/v1/drops/${ref.id}`);
      return reply.code(201).send(view);
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/drops/preview',
    config: { role: 'creator' },
    schema: {
      tags: [tag],
      summary: 'How words would read on each channel, cut by its measure; nothing is written',
      body: previewBody,
      response: { 200: z.object({ items: z.array(previewSchema) }), ...problemResponses },
    },
    handler: async (request) => {
      const { ownerId } = callerOf(request);
      const { channels, title, body, bodies } = request.body;
      const items = await Promise.all(
        channels.map(async (id) => {
          const channel = await findChannel(db, ownerId, id);
          if (!channel) throw new DomainError('NOT_FOUND', `no channel ${id}`);
          const { kind, name } = channel;
          const { text: textOn, settings } = channelKind(kind);
          const said = bodies[kind] ?? body;
          // Before anything was posted there, a Mastodon server has not told its own limit: then it is the usual one.
          const text = textOn({ title, body: said }, settings.parse(channel.settings), undefined);
          const characters = graphemeCount(text);
          return { channelId: id, name, kind, text, characters, cut: isCut(text, said) };
        }),
      );
      return { items };
    },
  });

  listRoute(app, {
    url: '/v1/drops',
    role: 'reader',
    tag,
    summary: 'Drops, the last made first',
    item: dropSchema,
    filters: { state: z.enum(dropStates).optional(), agentId: slugSchema.optional() },
    params: z.object({}),
    key: idSchema('drop'),
    keyOf: (drop) => drop.id,
    rows: async (page, filters) => (await listDrops(db, { ...page, ...filters })).map(linked),
  });

  app.route({
    method: 'GET',
    url: '/v1/drops/:id',
    config: { role: 'reader' },
    schema: {
      tags: [tag],
      summary: 'A drop with what became of it on each channel, and its last 100 attempts',
      params: dropParams,
      response: { 200: dropDetailSchema, ...problemResponses },
    },
    handler: async (request, reply) => {
      const ref = { ownerId: callerOf(request).ownerId, id: request.params.id };
      const drop = await existing(ref);
      sendETag(reply, drop.version);
      const deliveries = await listDropDeliveries(db, { ownerId: ref.ownerId, dropId: ref.id, limit: 200 });
      return { ...drop, deliveries, attempts: await attemptsOfDrop(db, ref.id) };
    },
  });

  app.route({
    method: 'PATCH',
    url: '/v1/drops/:id',
    config: { role: 'creator' },
    schema: {
      tags: [tag],
      summary: 'Changes a drop that has not left; other words of one that was approved are to be approved again',
      querystring: writeQuery,
      params: dropParams,
      headers: ifMatchHeaders,
      body: dropChangeBody,
      response: answers,
    },
    handler: async (request, reply) => {
      const version = matchedVersion(request, true);
      if (version === undefined) throw fieldError('headers.if-match', 'must name a version', 'Send its `ETag`.');
      refuseOddTime('publishAt', request.body.publishAt);
      const view = await write(request, `change ${request.params.id}`, (tx, ref) =>
        editDrop(tx, ref, { version, change: request.body }),
      );
      if ('version' in view) sendETag(reply, view.version);
      return view;
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/drops/:id/publish',
    config: { role: 'creator' },
    schema: {
      tags: [tag],
      summary: 'Sends a draft on its way, at once or at a time; first to a person where a channel asks for that',
      querystring: writeQuery,
      params: dropParams,
      body: z.strictObject({ at: timeSchema.optional().describe('Default: now') }).default({}),
      response: answers,
    },
    handler: (request) => {
      refuseOddTime('at', request.body.at);
      return write(request, `publish ${request.params.id}`, (tx, ref) =>
        scheduleDrop(tx, ref, { publishAt: request.body.at }),
      );
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/drops/:id/approve',
    config: { role: 'operator' },
    schema: {
      tags: [tag],
      summary: 'Says yes to a drop that waits for it',
      querystring: writeQuery,
      params: dropParams,
      body: emptyBody,
      response: answers,
    },
    handler: (request) =>
      write(request, `approve ${request.params.id}`, (tx, ref) =>
        approveDrop(tx, ref, { by: callerOf(request).tokenId }),
      ),
  });

  app.route({
    method: 'POST',
    url: '/v1/drops/:id/reject',
    config: { role: 'operator' },
    schema: {
      tags: [tag],
      summary: 'Says no to a drop that waits for a word',
      querystring: writeQuery,
      params: dropParams,
      body: z.strictObject({ reason: z.union([z.literal(''), textSchema(300)]).default('') }).default({ reason: '' }),
      response: answers,
    },
    handler: (request) =>
      write(request, `reject ${request.params.id}`, (tx, ref) =>
        rejectDrop(tx, ref, { by: callerOf(request).tokenId, reason: request.body.reason }),
      ),
  });

  app.route({
    method: 'DELETE',
    url: '/v1/drops/:id',
    config: { role: 'creator' },
    schema: {
      tags: [tag],
      summary: 'Takes a drop back; while it leaves, what has not begun to leave stays here',
      querystring: writeQuery,
      params: dropParams,
      body: emptyBody,
      response: answers,
    },
    handler: (request) =>
      write(request, `take back ${request.params.id}`, (tx, ref) =>
        publishing.takeBack(tx, ref, { by: callerOf(request).tokenId }),
      ),
  });

  /** One that was not sent on its way has no workflow. */
  function linked(drop: DropView) {
    return { ...drop, links: drop.sentAt !== null ? linksTo(dropWorkflowId(drop.id)) : { temporal: null } };
  }

  async function existing({ ownerId, id }: DropRef) {
    const drop = await findDrop(db, ownerId, id);
    if (!drop) throw new DomainError('NOT_FOUND', `no drop ${id}`);
    return linked(drop);
  }

  /** Writes the rows, and tells the workflow that keeps the drop's clock; one that was not told looks by itself. */
  async function write(
    request: FastifyRequest & { params: { id: string }; query: { dryRun?: boolean | undefined } },
    would: string,
    work: (tx: DatabaseTransaction, ref: DropRef) => Promise<unknown>,
  ) {
    const ref = { ownerId: callerOf(request).ownerId, id: request.params.id };
    await writeOrTry(db, request.query.dryRun, (tx) => work(tx, ref));
    if (request.query.dryRun) return { dryRun: true as const, would };
    await starter.tellRowsChanged(dropWorkflowId(ref.id));
    return existing(ref);
  }
}

/** What is past would be late before it begins. */
function refuseOddTime(field: string, at: string | undefined): void {
  if (at === undefined) return;
  const ahead = Date.parse(at) - Date.now();
  if (ahead > furthestMs) throw fieldError(field, 'must be within five years', 'Name a nearer time.');
  if (ahead < -clockMs) throw fieldError(field, 'must not be past', 'Leave it out to publish now.');
}
