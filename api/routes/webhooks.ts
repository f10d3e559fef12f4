import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { fieldError } from '../../domain/field-errors.ts';
import { idSchema } from '../../domain/ids.ts';
import {
  mostWebhooks,
  mostWebhookSecrets,
  webhookEventTypes,
  webhookStates,
  webhookUrlFault,
} from '../../domain/webhooks.ts';
import { newWebhookSecret } from '../../integrations/standard-webhooks.ts';
import { webhookSecretAbout } from '../../integrations/webhook-sender.ts';
import { newId } from '../../stores/ids.ts';
import { findFleet } from '../../stores/queries/fleets.ts';
import { findWebhook, listWebhooks } from '../../stores/queries/webhooks.ts';
import {
  addWebhook,
  addWebhookSecret,
  enableWebhook,
  removeWebhook,
  removeWebhookSecret,
} from '../../stores/webhooks.ts';
import type { ApiContext } from '../context.ts';
import { writeOrTry } from '../dry-run.ts';
import { listRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, emptyBody, problemResponses, timeSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';

export const webhookParams = z.strictObject({ id: idSchema('webhook') });

const webhookSchema = z
  .object({
    id: idSchema('webhook'),
    url: z.string(),
    types: z.array(z.enum(webhookEventTypes)),
    state: z.enum(webhookStates),
    reason: z.string().describe('Why it is disabled'),
    secrets: z.array(idSchema('webhookSecret')).describe('Each signs every event; none can be read again'),
    createdAt: timeSchema,
  })
  .meta({ id: 'Webhook' });

const newSecretSchema = z.object({
  secretId: idSchema('webhookSecret'),
  secret: z.string().describe('Shown this one time'),
});

/** Endpoints that are told of what happens to their owner: docs/webhooks.md. */
export function webhookRoutes(app: Api, { db, webhookBox }: ApiContext): void {
  /** @throws UNAVAILABLE without a key to seal it under */
  function newSealedSecret() {
    if (webhookBox === undefined)
      throw new DomainError('UNAVAILABLE', 'SOULFRA_WEBHOOK_KEY is not set, so no secret can be kept');
    const id = newId('webhookSecret');
    const secret = newWebhookSecret();
    return { secret, row: { id, sealed: webhookBox.seal(secret, webhookSecretAbout(id)) } };
  }

  app.route({
    method: 'POST',
    url: '/v1/webhooks',
    config: { role: 'member' },
    schema: {
      tags: ['webhooks'],
      summary: `Adds an endpoint for signed events, with its first secret; ${mostWebhooks} an owner`,
      querystring: writeQuery,
      body: z.strictObject({
        url: z.string().min(8).max(2_000),
        types: z
          .array(z.enum(webhookEventTypes))
          .min(1)
          .max(20)
          .default([...webhookEventTypes])
          .describe('Default: every type there is now'),
      }),
      response: { 200: dryRunSchema, 201: webhookSchema.extend(newSecretSchema.shape), ...problemResponses },
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      const { url } = request.body;
      const types = [...new Set(request.body.types)];
      const allowPrivate = (await findFleet(db, ownerId))?.fleet.webhooks.allowPrivate ?? [];
      const fault = webhookUrlFault(url, allowPrivate);
      if (fault) throw fieldError('url', fault.rule, fault.mend);
      const { secret, row } = newSealedSecret();
      const id = newId('webhook');
      const webhook = await writeOrTry(db, request.query.dryRun, async (tx) => {
        await addWebhook(tx, { ownerId, id, url, types, secret: row });
        return findWebhook(tx, ownerId, id);
      });
      if (request.query.dryRun) return { dryRun: true as const, would: `add ${url}` };
      return reply.code(201).send({ ...webhook!, secretId: row.id, secret });
    },
  });

  listRoute(app, {
    url: '/v1/webhooks',
    role: 'member',
    tag: 'webhooks',
    summary: 'Your endpoints, the last made first',
    item: webhookSchema,
    filters: {},
    params: z.object({}),
    key: idSchema('webhook'),
    keyOf: (webhook) => webhook.id,
    rows: (page) => listWebhooks(db, page),
  });

  app.route({
    method: 'DELETE',
    url: '/v1/webhooks/:id',
    config: { role: 'member' },
    schema: {
      tags: ['webhooks'],
      summary: 'Removes an endpoint with its secrets and deliveries',
      querystring: writeQuery,
      params: webhookParams,
      body: emptyBody,
      response: { 200: dryRunSchema, 204: z.null(), ...problemResponses },
    },
    handler: async (request, reply) => {
      const ref = { ownerId: callerOf(request).ownerId, id: request.params.id };
      await writeOrTry(db, request.query.dryRun, (tx) => removeWebhook(tx, ref));
      if (request.query.dryRun) return { dryRun: true as const, would: `remove ${ref.id}` };
      return reply.code(204).send(null);
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/webhooks/:id/enable',
    config: { role: 'member' },
    schema: {
      tags: ['webhooks'],
      summary: 'Takes up an endpoint again that answered 410',
      querystring: writeQuery,
      params: webhookParams,
      body: emptyBody,
      response: { 200: webhookSchema.or(dryRunSchema), ...problemResponses },
    },
    handler: async (request) => {
      const ref = { ownerId: callerOf(request).ownerId, id: request.params.id };
      const webhook = await writeOrTry(db, request.query.dryRun, async (tx) => {
        await enableWebhook(tx, ref);
        return findWebhook(tx, ref.ownerId, ref.id);
      });
      return request.query.dryRun ? { dryRun: true as const, would: `enable ${ref.id}` } : webhook!;
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/webhooks/:id/secrets',
    config: { role: 'member' },
    schema: {
      tags: ['webhooks'],
      summary: `Makes another secret; ${mostWebhookSecrets} may be live, and events are signed with both`,
      querystring: writeQuery,
      params: webhookParams,
      body: emptyBody,
      response: { 200: dryRunSchema, 201: newSecretSchema, ...problemResponses },
    },
    handler: async (request, reply) => {
      const ref = { ownerId: callerOf(request).ownerId, id: request.params.id };
      const { secret, row } = newSealedSecret();
      await writeOrTry(db, request.query.dryRun, (tx) => addWebhookSecret(tx, ref, row));
      if (request.query.dryRun) return { dryRun: true as const, would: `make a secret of ${ref.id}` };
      return reply.code(201).send({ secretId: row.id, secret });
    },
  });

  app.route({
    method: 'DELETE',
    url: '/v1/webhooks/:id/secrets/:secretId',
    config: { role: 'member' },
    schema: {
      tags: ['webhooks'],
      summary: 'Nothing is signed with it from now on; the last one stays',
      querystring: writeQuery,
      params: webhookParams.extend({ secretId: idSchema('webhookSecret') }),
      body: emptyBody,
      response: { 200: dryRunSchema, 204: z.null(), ...problemResponses },
    },
    handler: async (request, reply) => {
      const ref = { ownerId: callerOf(request).ownerId, id: request.params.id };
      const { secretId } = request.params;
      await writeOrTry(db, request.query.dryRun, (tx) => removeWebhookSecret(tx, ref, secretId));
      if (request.query.dryRun) return { dryRun: true as const, would: `remove ${secretId}` };
      return reply.code(204).send(null);
    },
  });
}
