import type { Payload } from '@temporalio/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { lastUseHoldsMs, payloadKeyId } from '../../config/payload-codec.ts';
import { DomainError, isDomainError } from '../../domain/errors.ts';
import { announcedPayloadKeys, heldUnderKey, retirePayloadKey } from '../../integrations/payload-keys.ts';
import type { ApiContext } from '../context.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, problemResponses, switchSchema, timeSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';

/** A page of a history, as Temporal's UI sends it. */
const bodyLimit = 8 * 2 ** 20;
const unreadableField = 'soulfra-unreadable';
/** As browsers may keep what a preflight was answered. */
const preflightSeconds = 600;

/** As Temporal's UI sends it: protobuf's JSON, with bytes as base64. What else it has is answered as it came. */
const payloadSchema = z.looseObject({
  metadata: z.record(z.string(), z.base64()).optional(),
  data: z.base64().optional(),
});
type WirePayload = z.infer<typeof payloadSchema>;
const payloadsSchema = z.strictObject({ payloads: z.array(payloadSchema).max(10_000) });
const keyIdSchema = z
  .string()
  .regex(/^[0-9a-f]{16}$/, 'must be the id of a key, such as `soulfra secrets payload-keys` shows');

const summaries = {
  decode:
    'What payloads say; those that are not encoded are answered as they came, and one that cannot be read says why in its place',
  encode: 'Payloads as Temporal is to keep them; where the codec is off they are answered as they came',
} as const;

/** The codec server of Temporal's UI, and the keys that payloads are encoded under. */
export function codecRoutes(app: Api, { payloads, principals, temporal, temporalUi }: ApiContext): void {
  const { codec } = payloads;
  const { namespace } = temporal.options;
  const origin = temporalUi === undefined ? undefined : new URL(temporalUi).origin;
  const origins = origin === undefined ? [] : [origin];

  /** Before the role is looked at: a page can read a refusal only by these, too. */
  async function allowUi(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    void reply.header('vary', 'Origin');
    if (origin === undefined || request.headers.origin !== origin) return;
    void reply.header('access-control-allow-origin', origin).header('access-control-allow-credentials', 'true');
  }

  /** Payloads are of all who use the installation. */
  async function onlyWhoRuns(request: FastifyRequest): Promise<void> {
    if (callerOf(request).ownerId !== (await principals.firstOperator()))
      throw new DomainError('FORBIDDEN', 'only who runs the installation reads its payloads');
  }

  for (const word of ['decode', 'encode'] as const) {
    const url = `/v1/codec/${word}`;
    app.route({
      method: 'OPTIONS',
      url,
      config: { role: 'none' },
      schema: { hide: true },
      onRequest: allowUi,
      handler: (_request, reply) =>
        reply
          .header('access-control-allow-methods', 'POST')
          .header('access-control-allow-headers', 'authorization, content-type, x-namespace')
          .header('access-control-max-age', preflightSeconds)
          .code(204)
          .send(),
    });
    app.route({
      method: 'POST',
      url,
      // Whoever reads what agents are and remember is written down, as who changes it is.
      config: { role: 'operator', reads: true, audit: true, origins },
      bodyLimit,
      onRequest: allowUi,
      schema: {
        tags: ['codec'],
        summary: summaries[word],
        description:
          'Of the whole installation, so only for who runs it. By the protocol of Temporal’s remote codecs, for its UI.',
        querystring: writeQuery.extend({
          preserveStorageRefs: z
            .string()
            .max(10)
            .optional()
            .describe('Sent by Temporal’s UI; nothing is stored elsewhere'),
        }),
        body: payloadsSchema,
        response: { 200: dryRunSchema.or(payloadsSchema), ...problemResponses },
      },
      handler: async (request) => {
        await onlyWhoRuns(request);
        const given = request.body.payloads;
        if (request.query.dryRun) return { dryRun: true as const, would: `${word} ${given.length} payloads` };
        const passed = await (word === 'encode' ? encodeAll(given) : decodeAll(given));
        return { payloads: passed.map((payload, i) => (payload === undefined ? given[i]! : toWire(payload))) };
      },
    });
  }

  /** @returns undefined for what stays as it came */
  async function encodeAll(given: readonly WirePayload[]): Promise<Array<Payload | undefined>> {
    const before = given.map(fromWire);
    const after = await codec.encode(before);
    return after.map((payload, i) => (payload === before[i] ? undefined : payload));
  }

  /** One that cannot be read says so in its place: the rest of the page is readable. @returns undefined for what stays as it came */
  async function decodeAll(given: readonly WirePayload[]): Promise<Array<Payload | undefined>> {
    return Promise.all(
      given.map(async (payload) => {
        try {
          const before = fromWire(payload);
          const [after] = await codec.decode([before]);
          return after === before ? undefined : after;
        } catch (err) {
          if (!isDomainError(err)) throw err;
          return unreadable(err);
        }
      }),
    );
  }

  app.route({
    method: 'GET',
    url: '/v1/codec/keys',
    config: { role: 'operator' },
    schema: {
      tags: ['codec'],
      summary: 'Ids of the keys that payloads are encoded under, or were, and those that this API holds',
      response: {
        200: z.object({
          encodes: z.boolean().describe('Whether this API encodes what it gives to Temporal'),
          keys: z.array(
            z.object({
              id: keyIdSchema,
              since: timeSchema.nullable().describe('When it first encoded; null: not yet, or it is retired'),
              used: timeSchema.nullable().describe('When a process last said that it encodes by it, to half an hour'),
              held: z.boolean().describe('Whether this API has it'),
              encodes: z.boolean().describe('Whether it is the one that encodes'),
            }),
          ),
        }),
        ...problemResponses,
      },
    },
    handler: async (request) => {
      await onlyWhoRuns(request);
      return { encodes: payloads.encodes, keys: await keysNow() };
    },
  });

  async function keysNow() {
    const announced = await announcedPayloadKeys(temporal.connection, namespace);
    const held = payloads.keys.map(payloadKeyId);
    const ids = [...new Set([...held, ...announced.map(({ id }) => id)])];
    const timesOf = (id: string) => announced.find((key) => key.id === id);
    return ids.map((id) => ({
      id,
      since: timesOf(id)?.since ?? null,
      used: timesOf(id)?.last ?? null,
      held: held.includes(id),
      encodes: payloads.encodes && id === held[0],
    }));
  }

  app.route({
    method: 'DELETE',
    url: '/v1/codec/keys/:id',
    config: { role: 'operator' },
    schema: {
      tags: ['codec'],
      summary: 'Workers may start without this key from now on; take it out of SOULFRA_PAYLOAD_KEYS afterwards',
      description:
        'Of the whole installation, so only for who runs it. Refused while some process encodes by it, or has within the hour, and while the history of an open workflow, or a Schedule, has something under it.',
      params: z.strictObject({ id: keyIdSchema }),
      querystring: writeQuery.extend({
        anyway: switchSchema.optional().describe('Although they do, or have'),
      }),
      response: { 200: dryRunSchema, 204: z.null(), ...problemResponses },
    },
    handler: async (request, reply) => {
      await onlyWhoRuns(request);
      const { id } = request.params;
      const keys = await keysNow();
      const key = keys.find((one) => one.id === id);
      if (key === undefined || key.since === null) throw new DomainError('NOT_FOUND', `no key ${id} is in use`);
      if (key.encodes)
        throw new DomainError('CONFLICT', `${id} is the key that encodes: put another first, and start all anew`);
      if (!request.query.anyway) await refuseWhileUsed(key);
      if (request.query.dryRun) return { dryRun: true as const, would: `retire the key ${id}` };
      await retirePayloadKey(temporal.connection, namespace, id);
      return reply.code(204).send(null);
    },
  });

  async function refuseWhileUsed({ id, used }: { id: string; used: string | null }): Promise<void> {
    if (used !== null && Date.now() - Date.parse(used) < lastUseHoldsMs)
      throw new DomainError(
        'CONFLICT',
        `a process encoded by ${id} at ${used}, within the hour: put another key first everywhere, start all anew, and come back`,
      );
    const held = await heldUnderKey(temporal.connection, { namespace, keyId: id });
    if (held.length > 0)
      throw new DomainError(
        'CONFLICT',
        `${held.slice(0, 5).join(', ')}${held.length > 5 ? ' and more' : ''}: something there is encoded under ${id}`,
      );
  }
}

/** As text for whoever looks, with the code for programs. */
function unreadable(err: DomainError): Payload {
  const [fault] = err.fields;
  const why = fault === undefined ? err.message : `${err.message}. ${fault.mend}`;
  return {
    metadata: { encoding: Buffer.from('json/plain'), [unreadableField]: Buffer.from(err.code) },
    data: Buffer.from(JSON.stringify(`cannot be read here: ${why}`)),
  };
}

function fromWire({ metadata, data }: WirePayload): Payload {
  return {
    metadata: Object.fromEntries(
      Object.entries(metadata ?? {}).map(([name, text]) => [name, Buffer.from(text, 'base64')] as const),
    ),
    ...(data === undefined ? {} : { data: Buffer.from(data, 'base64') }),
  };
}

function toWire({ metadata, data }: Payload): WirePayload {
  return {
    metadata: Object.fromEntries(
      Object.entries(metadata ?? {}).map(([name, bytes]) => [name, Buffer.from(bytes).toString('base64')] as const),
    ),
    ...(data && { data: Buffer.from(data).toString('base64') }),
  };
}
