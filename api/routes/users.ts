import { createHash } from 'node:crypto';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { idSchema } from '../../domain/ids.ts';
import { mailAddressSchema } from '../../domain/mail-addresses.ts';
import { newId } from '../../stores/ids.ts';
import { queueMail } from '../../stores/mails.ts';
import { listUsers } from '../../stores/queries/users.ts';
import { deleteUser, inviteUser, keptText } from '../../stores/users.ts';
import type { ApiContext } from '../context.ts';
import { writeOrTry } from '../dry-run.ts';
import { listRoute } from '../lists.ts';
import { createLimitCounter } from '../plugins/rate-limit.ts';
import { callerOf } from '../plugins/roles.ts';
import {
  dryRunSchema,
  emptyBody,
  problemResponses,
  roleSchema,
  textSchema,
  timeSchema,
  writeQuery,
} from '../schemas.ts';
import type { Api } from '../types.ts';

/** Links asked for within a quarter of an hour. */
const linkWindowMs = 15 * 60_000;
const mostPerAddress = 3;
const mostPerCaller = 10;

const userSchema = z
  .object({
    id: idSchema('user'),
    name: z.string(),
    role: roleSchema,
    address: z.string().nullable(),
    state: z.enum(['invited', 'active', 'deleted']).describe('invited: no link to the address has come back yet'),
    createdAt: timeSchema,
    verifiedAt: timeSchema.nullable(),
    deletedAt: timeSchema.nullable(),
  })
  .meta({ id: 'User' });

export function userRoutes(app: Api, { db, principals, redis }: ApiContext): void {
  const count = createLimitCounter(redis, { windowMs: linkWindowMs });

  app.route({
    method: 'POST',
    url: '/v1/sign-ups',
    config: { role: 'none' },
    schema: {
      tags: ['sign-in'],
      summary: 'Mails a sign-in link to the address; the answer is the same for everybody',
      description:
        'Who has the address gets a link that works once within 15 minutes (`POST /v1/sessions`). Where sign-up is open, an address that nobody has becomes a user of role member. Whether anybody has it is not told, neither by the answer nor by the time it takes: that is found out when the mail is sent.',
      querystring: writeQuery,
      body: z.strictObject({ address: mailAddressSchema }),
      response: { 200: dryRunSchema, 202: z.object({ accepted: z.literal(true) }), ...problemResponses },
    },
    handler: async (request, reply) => {
      const { address } = request.body;
      await limit(reply, `sign-up:ip:${request.ip}`, mostPerCaller);
      // Redis is told no address.
      await limit(reply, `sign-up:to:${createHash('sha256').update(address).digest('base64url')}`, mostPerAddress);
      const ownerId = await principals.firstOperator();
      if (ownerId === undefined) throw new DomainError('UNAVAILABLE', 'nobody runs this installation yet');
      const mail = { ownerId, userId: null, key: `sign_in:${newId('request')}`, template: 'sign_in', address } as const;
      await writeOrTry(db, request.query.dryRun, (tx) => queueMail(tx, mail));
      if (request.query.dryRun)
        return { dryRun: true as const, would: 'mail a link to the address, if it is for somebody' };
      return reply.code(202).send({ accepted: true });
    },
  });

  async function limit(reply: FastifyReply, key: string, most: number): Promise<void> {
    const { current, ttl } = await count(key);
    if (current <= most) return;
    void reply.header('retry-after', Math.ceil(ttl / 1000));
    throw new DomainError('RATE_LIMITED', `more than ${most} links in ${linkWindowMs / 60_000} minutes`);
  }

  listRoute(app, {
    url: '/v1/users',
    role: 'operator',
    tag: 'users',
    summary: 'Who was invited or signed up, the last one first',
    item: userSchema,
    filters: {},
    params: z.object({}),
    key: idSchema('user'),
    keyOf: (user) => user.id,
    rows: (page) => listUsers(db, page),
  });

  app.route({
    method: 'POST',
    url: '/v1/users',
    config: { role: 'operator' },
    schema: {
      tags: ['users'],
      summary: 'Invites somebody: makes the user and mails them a link that works once within 24 hours',
      querystring: writeQuery,
      body: z.strictObject({
        address: mailAddressSchema,
        role: z.enum(['creator', 'member', 'reader']).default('member'),
        name: textSchema(60).optional().describe('How they are called; default: their role'),
      }),
      response: {
        200: dryRunSchema,
        201: userSchema.pick({ id: true, role: true, address: true }),
        ...problemResponses,
      },
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      const { address, role, name = role } = request.body;
      const { dryRun } = request.query;
      const id = await writeOrTry(db, dryRun, async (tx) => {
        const userId = await inviteUser(tx, { operatorId: ownerId, address, role, name });
        await queueMail(tx, { ownerId, userId, key: `invite:${userId}`, template: 'invite', address });
        return userId;
      });
      if (dryRun) return { dryRun: true as const, would: `invite ${address} as ${role}` };
      return reply.code(201).send({ id, role, address });
    },
  });

  app.route({
    method: 'DELETE',
    url: '/v1/users/:id',
    config: { role: 'operator' },
    schema: {
      tags: ['users'],
      summary: 'Takes away address, name, tokens and endpoints; what the ledger and licenses name stays under the id',
      querystring: writeQuery,
      params: z.strictObject({ id: idSchema('user') }),
      body: emptyBody,
      response: { 200: dryRunSchema, 204: z.null(), ...problemResponses },
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      const { id } = request.params;
      const { dryRun } = request.query;
      const kept = await writeOrTry(db, dryRun, (tx) => deleteUser(tx, ownerId, id));
      if (!dryRun) return reply.code(204).send(null);
      return { dryRun: true as const, would: `delete ${id}; ${keptText(kept)}` };
    },
  });
}
