import { isIP } from 'node:net';
import { z } from 'zod';
import { type ChannelKindName, channelKindNames } from '../../domain/channel-kinds.ts';
import { DomainError } from '../../domain/errors.ts';
import { fieldError, invalidInput } from '../../domain/field-errors.ts';
import { idSchema } from '../../domain/ids.ts';
import { channelStages } from '../../domain/states.ts';
import { webhookUrlFault } from '../../domain/webhooks.ts';
import { reachOf } from '../../integrations/address-rules.ts';
import { channelKind } from '../../integrations/channels/kinds.ts';
import { channelSecretsAbout, destinationKey } from '../../integrations/channels/posting.ts';
import {
  addChannel,
  allowTexts,
  removeChannel,
  resumeChannel,
  setChannelSecrets,
  setChannelStage,
  stopChannel,
} from '../../stores/channels.ts';
import type { DatabaseTransaction } from '../../stores/database.ts';
import { newId } from '../../stores/ids.ts';
import { findChannel, listChannels } from '../../stores/queries/channels.ts';
import { findFleet } from '../../stores/queries/fleets.ts';
import type { ApiContext } from '../context.ts';
import { writeOrTry } from '../dry-run.ts';
import { listRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, emptyBody, problemResponses, textSchema, timeSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';

const tag = 'channels';
const fieldsSchema = z.record(z.string(), z.unknown());

const channelSchema = z
  .object({
    id: idSchema('channel'),
    kind: z.enum(channelKindNames),
    name: z.string(),
    settings: fieldsSchema,
    stage: z
      .enum(channelStages)
      .describe('dry_run: nothing leaves. approval: what a person has said yes to. free: all'),
    allowExtractive: z.boolean(),
    allowDegraded: z.boolean(),
    stoppedAt: timeSchema.nullable(),
    stopReason: z.string(),
    repliesStoppedAt: timeSchema
      .nullable()
      .describe('Since when replies are not read: its server refuses to tell them'),
    repliesStopReason: z.string(),
    notBefore: timeSchema.nullable().describe('Until when its server wants nothing'),
    createdAt: timeSchema,
  })
  .meta({ id: 'Channel' });

const params = z.strictObject({ id: idSchema('channel') });
const answers = { 200: channelSchema.or(dryRunSchema), ...problemResponses };

/** Where drops go. Each step from dry run to free is an operator's act: docs/channels.md. */
export function channelRoutes(app: Api, { db, webhookBox }: ApiContext): void {
  /** Settings and secrets by the schema of the kind; every address in them judged as far as it can be before it is resolved. */
  async function checked(ownerId: string, kindName: ChannelKindName, body: { settings: unknown; secrets: unknown }) {
    const kind = channelKind(kindName);
    const settings = kind.settings.safeParse(body.settings);
    if (!settings.success) throw invalidInput(settings.error, body.settings, kind.settings, 'settings.');
    const given = body.secrets ?? kind.newSecrets?.() ?? {};
    const secrets = kind.secrets.safeParse(given);
    if (!secrets.success) throw invalidInput(secrets.error, {}, kind.secrets, 'secrets.');
    const allowPrivate = (await findFleet(db, ownerId))?.fleet.drops.allowPrivate ?? [];
    for (const [field, address] of Object.entries(kind.addresses(settings.data, secrets.data))) {
      const path = field.includes('.') ? field : `settings.${field}`;
      const fault = webhookUrlFault(address, allowPrivate, 'drops.allowPrivate');
      if (fault) throw fieldError(path, fault.rule, fault.mend);
      const host = new URL(address).hostname.replace(/^\[|\]$/g, '');
      if (isIP(host) !== 0 && reachOf(host) !== 'public' && !allowPrivate.includes(host))
        throw new DomainError('ADDRESS_REFUSED', `${path}: ${host} is no address that is posted to`);
    }
    return {
      settings: settings.data as Record<string, unknown>,
      secrets: secrets.data as Record<string, unknown>,
      made: body.secrets === undefined && kind.newSecrets !== undefined,
      destination: destinationKey(kindName, kind.destination(settings.data, secrets.data)),
    };
  }

  /** @throws UNAVAILABLE without a key to seal them under */
  function sealed(id: string, secrets: Record<string, unknown>): Buffer | null {
    if (Object.keys(secrets).length === 0) return null;
    if (webhookBox === undefined)
      throw new DomainError('UNAVAILABLE', 'SOULFRA_WEBHOOK_KEY is not set, so no secret can be kept');
    return webhookBox.seal(JSON.stringify(secrets), channelSecretsAbout(id));
  }

  app.route({
    method: 'POST',
    url: '/v1/channels',
    config: { role: 'operator' },
    schema: {
      tags: [tag],
      summary: 'Adds a channel, in dry run: nothing leaves until you take it further',
      querystring: writeQuery,
      body: z.strictObject({
        kind: z.enum(channelKindNames),
        name: textSchema(80),
        settings: fieldsSchema.default({}).describe('By kind: docs/channels.md'),
        secrets: fieldsSchema.optional().describe('By kind; sealed, and never to be read again'),
        allowExtractive: z.boolean().default(false).describe('Take texts that were put together by rule'),
        allowDegraded: z.boolean().default(false).describe('Take texts of a smaller model that stood in'),
      }),
      response: {
        200: dryRunSchema,
        201: channelSchema.extend({ secrets: fieldsSchema.optional().describe('Made here; shown this one time') }),
        ...problemResponses,
      },
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      const { kind, name, allowExtractive, allowDegraded } = request.body;
      const { settings, secrets, made, destination } = await checked(ownerId, kind, {
        settings: request.body.settings,
        secrets: request.body.secrets,
      });
      const id = newId('channel');
      const row = { ownerId, id, kind, name, settings, destination, allowExtractive, allowDegraded };
      const view = await writeOrTry(db, request.query.dryRun, async (tx) => {
        await addChannel(tx, { ...row, sealed: sealed(id, secrets) });
        return findChannel(tx, ownerId, id);
      });
      if (request.query.dryRun) return { dryRun: true as const, would: `add the ${kind} channel ${name}, in dry run` };
      return reply.code(201).send({ ...view!, ...(made ? { secrets } : {}) });
    },
  });

  listRoute(app, {
    url: '/v1/channels',
    role: 'reader',
    tag,
    summary: 'Your channels, the last made first; secrets are never told',
    item: channelSchema,
    filters: {},
    params: z.object({}),
    key: idSchema('channel'),
    keyOf: (channel) => channel.id,
    rows: (page) => listChannels(db, page),
  });

  app.route({
    method: 'GET',
    url: '/v1/channels/:id',
    config: { role: 'reader' },
    schema: { tags: [tag], summary: 'A channel', params, response: { 200: channelSchema, ...problemResponses } },
    handler: async (request) => {
      const channel = await findChannel(db, callerOf(request).ownerId, request.params.id);
      if (!channel) throw new DomainError('NOT_FOUND', `no channel ${request.params.id}`);
      return channel;
    },
  });

  app.route({
    method: 'PATCH',
    url: '/v1/channels/:id',
    config: { role: 'operator' },
    schema: {
      tags: [tag],
      summary: 'Which texts it takes',
      querystring: writeQuery,
      params,
      body: z
        .strictObject({ allowExtractive: z.boolean(), allowDegraded: z.boolean() })
        .partial()
        .refine((body) => Object.keys(body).length > 0, { error: 'must change something' }),
      response: answers,
    },
    handler: (request) =>
      changed(request, `change ${request.params.id}`, (tx, ref) => allowTexts(tx, ref, request.body)),
  });

  app.route({
    method: 'POST',
    url: '/v1/channels/:id/stage',
    config: { role: 'operator' },
    schema: {
      tags: [tag],
      summary: 'Takes it one step further (dry_run, approval, free), or back',
      querystring: writeQuery,
      params,
      body: z.strictObject({ stage: z.enum(channelStages) }),
      response: answers,
    },
    handler: (request) =>
      changed(request, `put ${request.params.id} into ${request.body.stage}`, (tx, ref) =>
        setChannelStage(tx, ref, request.body.stage),
      ),
  });

  app.route({
    method: 'POST',
    url: '/v1/channels/:id/stop',
    config: { role: 'member' },
    schema: {
      tags: [tag],
      summary: 'No post leaves by it until it is resumed',
      querystring: writeQuery,
      params,
      body: z.strictObject({ reason: textSchema(300).default('by hand') }).default({ reason: 'by hand' }),
      response: answers,
    },
    handler: (request) =>
      changed(request, `stop ${request.params.id}`, (tx, ref) => stopChannel(tx, ref, request.body.reason)),
  });

  app.route({
    method: 'POST',
    url: '/v1/channels/:id/resume',
    config: { role: 'operator' },
    schema: {
      tags: [tag],
      summary: 'Posts leave by it again',
      querystring: writeQuery,
      params,
      body: emptyBody,
      response: answers,
    },
    handler: (request) => changed(request, `resume ${request.params.id}`, resumeChannel),
  });

  app.route({
    method: 'POST',
    url: '/v1/channels/:id/secrets',
    config: { role: 'operator' },
    schema: {
      tags: [tag],
      summary: 'Other secrets in place of its own',
      querystring: writeQuery,
      params,
      body: z.strictObject({ secrets: fieldsSchema }),
      response: answers,
    },
    handler: async (request) => {
      const { ownerId } = callerOf(request);
      const { id } = request.params;
      const channel = await findChannel(db, ownerId, id);
      if (!channel) throw new DomainError('NOT_FOUND', `no channel ${id}`);
      const { secrets, destination } = await checked(ownerId, channel.kind, {
        settings: channel.settings,
        secrets: request.body.secrets,
      });
      const box = sealed(id, secrets);
      if (box === null) throw new DomainError('CONFLICT', `a channel of kind ${channel.kind} has no secrets`);
      return changed(request, `change the secrets of ${id}`, (tx, ref) =>
        setChannelSecrets(tx, ref, { sealed: box, destination }),
      );
    },
  });

  app.route({
    method: 'DELETE',
    url: '/v1/channels/:id',
    config: { role: 'operator' },
    schema: {
      tags: [tag],
      summary: 'Removes it with its secrets; what was posted there stays known',
      querystring: writeQuery,
      params,
      body: emptyBody,
      response: { 200: dryRunSchema, 204: z.null(), ...problemResponses },
    },
    handler: async (request, reply) => {
      const ref = { ownerId: callerOf(request).ownerId, id: request.params.id };
      await writeOrTry(db, request.query.dryRun, (tx) => removeChannel(tx, ref));
      if (request.query.dryRun) return { dryRun: true as const, would: `remove ${ref.id}` };
      return reply.code(204).send(null);
    },
  });

  async function changed(
    request: Parameters<typeof callerOf>[0] & { params: { id: string }; query: { dryRun?: boolean | undefined } },
    would: string,
    work: (tx: DatabaseTransaction, ref: { ownerId: string; id: string }) => Promise<void>,
  ) {
    const ref = { ownerId: callerOf(request).ownerId, id: request.params.id };
    const channel = await writeOrTry(db, request.query.dryRun, async (tx) => {
      await work(tx, ref);
      return findChannel(tx, ref.ownerId, ref.id);
    });
    return request.query.dryRun ? { dryRun: true as const, would } : channel!;
  }
}
