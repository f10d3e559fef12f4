import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { slugSchema } from '../../domain/ids.ts';
import { isSigned } from '../../integrations/standard-webhooks.ts';
import { newSourceItem } from '../../stores/source-items.ts';
import { findSource } from '../../stores/queries/sources.ts';
import type { SealedSecret } from '../../stores/source-secrets.ts';
import type { ApiContext } from '../context.ts';
import { createLimitCounter } from '../plugins/rate-limit.ts';
import { dryRunSchema, problemResponses, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';
import { eventItem } from '../webhook-events.ts';
import { secretAbout } from './source-secrets.ts';

const receivedSchema = z.object({
  id: z.string().describe('The webhook-id of the request'),
  known: z.boolean().describe('It came before: nothing is done twice'),
});

/** Every refusal of who is not known to be the sender: which of all it was is for nobody to learn. */
const refused = 'the signature does not fit';

const tellAgainMs = 60_000;

/** Incoming webhooks: outside the tokens, since their senders have none; each is signed by a secret of its source. */
export function sourceEventRoutes(app: Api, context: ApiContext): void {
  const { db, sources, sourceSecrets, secretBox, log } = context;
  const count = createLimitCounter(context.redis);
  /** By secret, when a person was told last that it cannot be opened: anybody may send, and each event would tell it again. */
  const toldAt = new Map<string, number>();

  app.register(async (scope) => {
    // The signature is over the bytes as they came.
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
    (scope as unknown as Api).route({
      method: 'POST',
      url: '/v1/sources/:id/events',
      config: { role: 'none' },
      schema: {
        tags: ['sources'],
        summary:
          'An event for a source of kind webhook, signed by the Standard Webhooks specification; docs/sources.md',
        querystring: writeQuery,
        params: z.strictObject({ id: slugSchema }),
        response: { 200: receivedSchema.or(dryRunSchema), 202: receivedSchema, ...problemResponses },
      },
      handler: async (request, reply) => {
        const { id: sourceId } = request.params;
        const body = request.body as Buffer | undefined;
        const { ownerId, webhookId } = await sender(request, sourceId, body ?? Buffer.alloc(0));
        const source = await findSource(db, ownerId, sourceId);
        if (source?.kind !== 'webhook') throw new DomainError('UNAUTHENTICATED', refused);
        const { current, ttl } = await count(`source:${ownerId}:${sourceId}`);
        if (current > source.eventsPerMinute) {
          void reply.header('retry-after', Math.ceil(ttl / 1000));
          throw new DomainError('RATE_LIMITED', `more than ${source.eventsPerMinute} events a minute`);
        }
        const item = newSourceItem(eventItem(body ?? Buffer.alloc(0), webhookId, source), source, new Date());
        if (item === undefined) throw new DomainError('INVALID_INPUT', 'the event holds no words');
        if (request.query.dryRun)
          return { dryRun: true as const, would: `give the event to the agents of ${sourceId}` };
        const known = await sources.receive({ ownerId, sourceId, item });
        return reply.code(known ? 200 : 202).send({ id: webhookId, known });
      },
    });
  });

  async function sender(request: FastifyRequest, sourceId: string, body: Buffer) {
    const [id, timestamp, signature] = ['webhook-id', 'webhook-timestamp', 'webhook-signature'].map((name) => {
      const value = request.headers[name];
      return typeof value === 'string' && value.length <= 1_000 ? value : '';
    }) as [string, string, string];
    const live = await sourceSecrets.live(sourceId);
    const now = new Date();
    // The id is part of a key: what it holds must be seen.
    const whole = /^[\x21-\x7e]{1,200}$/.test(id);
    const signed: SealedSecret[] = [];
    for (const each of live) {
      const secret = await opened(sourceId, each);
      if (isSigned(secret === undefined ? [] : [secret], { id, timestamp, signature, body }, now)) signed.push(each);
    }
    // Who sends to a source that is none waits as long.
    if (live.length === 0) isSigned([], { id, timestamp, signature, body }, now);
    const [by] = signed;
    if (by === undefined || !whole) throw new DomainError('UNAUTHENTICATED', refused);
    await sourceSecrets.used(by.id);
    return { ownerId: by.ownerId, webhookId: id };
  }

  /** Undefined where it cannot be: the sender cannot mend that, the operator can. */
  async function opened(sourceId: string, { id, ownerId, sealed }: SealedSecret): Promise<string | undefined> {
    let reason = 'SOULFRA_SECRET_KEY is not set';
    try {
      if (secretBox) return secretBox.open(sealed, secretAbout(id));
    } catch (err) {
      log.error({ err, secretId: id }, 'a secret of a source cannot be read');
      reason = 'SOULFRA_SECRET_KEY is another than it was made under';
    }
    if (Date.now() - (toldAt.get(id) ?? 0) >= tellAgainMs) {
      toldAt.set(id, Date.now());
      await sourceSecrets.unreadable({ ownerId, sourceId, id }, reason);
    }
    return undefined;
  }
}
