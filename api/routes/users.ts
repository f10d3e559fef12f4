import { z } from 'zod';
import { idSchema } from '../../domain/ids.ts';
import { mailAddressSchema } from '../../domain/mail-addresses.ts';
import { queueMail } from '../../stores/mails.ts';
import { findUser, listUsers } from '../../stores/queries/users.ts';
import { changeRole, deleteUser, inviteUser, keptText } from '../../stores/users.ts';
import type { ApiContext } from '../context.ts';
import { writeOrTry } from '../dry-run.ts';
import { listRoute } from '../lists.ts';
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
import { createSignUps, linkWindowMs, mostPerAddress, mostPerCaller, mostPerCallerAndAddress } from '../sign-ups.ts';
import type { Api } from '../types.ts';

/** Operators are not made: whoever runs the installation is its books' and its keys'. */
const givenRoleSchema = z.enum(['creator', 'member', 'reader']);

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

export function userRoutes(app: Api, context: ApiContext): void {
  const { db } = context;
  const signUp = createSignUps(context);

  app.route({
    method: 'POST',
    url: '/v1/sign-ups',
    config: { role: 'none' },
    schema: {
      tags: ['sign-in'],
      summary: 'Mails a sign-in link to the address; the answer is the same for everybody',
      description:
        'Who has the address gets a link that works once within 15 minutes (`POST /v1/sessions`). Where sign-up is open, an address that nobody has becomes a user of role member. Whether anybody has it is not told, neither by the answer nor by the time it takes: that is found out when the mail is sent. ' +
        `Within ${linkWindowMs / 60_000} minutes ${mostPerCallerAndAddress} links are mailed to an address by one caller, ${mostPerAddress} to it by all, and ${mostPerCaller} by one caller; over that the answer is the same, too.`,
      querystring: writeQuery,
      body: z.strictObject({ address: mailAddressSchema }),
      response: { 200: dryRunSchema, 202: z.object({ accepted: z.literal(true) }), ...problemResponses },
    },
    handler: async (request, reply) => {
      const { dryRun } = request.query;
      await signUp(request, request.body.address, { dryRun: dryRun === true });
      if (dryRun) return { dryRun: true as const, would: 'mail a link to the address, if it is for somebody' };
      return reply.code(202).send({ accepted: true });
    },
  });

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
        role: givenRoleSchema.default('member'),
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
    method: 'PATCH',
    url: '/v1/users/:id',
    config: { role: 'operator' },
    schema: {
      tags: ['users'],
      summary: 'Gives a user another role, at once: in open sessions, tokens and links that are out, too',
      description:
        'The event `user.role_changed` keeps both roles and the token that asked. What a creator has on offer stays on offer: `POST /v1/listings/{id}/take-down` takes it off. Who runs the installation keeps their role, and nobody else becomes operator.',
      querystring: writeQuery,
      params: z.strictObject({ id: idSchema('user') }),
      body: z.strictObject({ role: givenRoleSchema }),
      response: { 200: userSchema.or(dryRunSchema), ...problemResponses },
    },
    handler: async (request) => {
      const { ownerId, tokenId } = callerOf(request);
      const { id } = request.params;
      const { role } = request.body;
      const { dryRun } = request.query;
      const { before, user } = await writeOrTry(db, dryRun, async (tx) => ({
        before: await changeRole(tx, { operatorId: ownerId, id, role, by: tokenId }),
        user: await findUser(tx, ownerId, id),
      }));
      if (!dryRun) return user!;
      const would = before === role ? `change nothing: ${id} is ${role}` : `make ${id}, who is ${before}, ${role}`;
      return { dryRun: true as const, would };
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
