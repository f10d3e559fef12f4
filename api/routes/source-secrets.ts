import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { idSchema, slugSchema } from '../../domain/ids.ts';
import { newWebhookSecret } from '../../integrations/standard-webhooks.ts';
import { newId } from '../../stores/ids.ts';
import { findSource } from '../../stores/queries/sources.ts';
import { mostLiveSecrets } from '../../stores/source-secrets.ts';
import type { ApiContext } from '../context.ts';
import { listRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, emptyBody, problemResponses, timeSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';

const sourceParams = z.strictObject({ id: slugSchema });
const secretSchema = z
  .object({
    id: idSchema('sourceSecret'),
    createdAt: timeSchema,
    lastUsedAt: timeSchema.nullable().describe('Noted once a minute at most'),
    revokedAt: timeSchema.nullable(),
  })
  .meta({ id: 'SourceSecret' });

/** What a sealed secret is of: it cannot be opened as another one. */
export function secretAbout(id: string): string {
  return `source secret ${id}`;
}

export function sourceSecretRoutes(app: Api, { db, sourceSecrets, secretBox }: ApiContext): void {
  app.route({
    method: 'POST',
    url: '/v1/sources/:id/secrets',
    config: { role: 'operator' },
    schema: {
      tags: ['sources'],
      summary: `Makes a secret that a sender signs with, shown this one time; ${mostLiveSecrets} may be live`,
      querystring: writeQuery,
      params: sourceParams,
      body: emptyBody,
      response: {
        200: dryRunSchema,
        201: z.object({ id: idSchema('sourceSecret'), secret: z.string() }),
        ...problemResponses,
      },
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      const sourceId = await webhook(ownerId, request.params.id);
      if (secretBox === undefined) {
        throw new DomainError('UNAVAILABLE', 'SOULFRA_SECRET_KEY is not set, so no secret can be kept');
      }
      if (request.query.dryRun) return { dryRun: true as const, would: `make a secret of ${sourceId}` };
      const id = newId('sourceSecret');
      const secret = newWebhookSecret();
      await sourceSecrets.add({ ownerId, sourceId, id, sealed: secretBox.seal(secret, secretAbout(id)) });
      return reply.code(201).send({ id, secret });
    },
  });

  listRoute(app, {
    url: '/v1/sources/:id/secrets',
    role: 'operator',
    tag: 'sources',
    summary: 'Secrets of a source, the last made first; none can be read again',
    item: secretSchema,
    filters: {},
    params: sourceParams,
    key: idSchema('sourceSecret'),
    keyOf: (secret) => secret.id,
    rows: async ({ ownerId, limit, after }, _filters, { id }) => {
      const all = await sourceSecrets.list({ ownerId, sourceId: await webhook(ownerId, id) });
      return all.filter((secret) => after === undefined || secret.id < after).slice(0, limit);
    },
  });

  app.route({
    method: 'DELETE',
    url: '/v1/sources/:id/secrets/:secretId',
    config: { role: 'operator' },
    schema: {
      tags: ['sources'],
      summary: 'What is signed with it is refused from now on',
      querystring: writeQuery,
      params: sourceParams.extend({ secretId: idSchema('sourceSecret') }),
      response: { 200: dryRunSchema, 204: z.null(), ...problemResponses },
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      const { id: sourceId, secretId } = request.params;
      const known = (await sourceSecrets.list({ ownerId, sourceId })).some(({ id }) => id === secretId);
      if (!known) throw new DomainError('NOT_FOUND', `no secret ${secretId} of ${sourceId}`);
      if (request.query.dryRun) return { dryRun: true as const, would: `revoke ${secretId}` };
      await sourceSecrets.revoke({ ownerId, sourceId, id: secretId });
      return reply.code(204).send(null);
    },
  });

  async function webhook(ownerId: string, id: string): Promise<string> {
    const source = await findSource(db, ownerId, id);
    if (!source) throw new DomainError('NOT_FOUND', `no source ${id}`);
    if (source.kind !== 'webhook')
      throw new DomainError('CONFLICT', `${id} is a ${source.kind}, which needs no secret`);
    return id;
  }
}
