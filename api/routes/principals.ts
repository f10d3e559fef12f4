import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { idSchema } from '../../domain/ids.ts';
import { covers } from '../../domain/roles.ts';
import { permits, type Scope, scopes, scopeSchema } from '../../domain/scopes.ts';
import { serviceIdSchema } from '../../domain/services.ts';
import { endSignIns, onceSeconds, type Principal, serviceRole, tokenDays } from '../../stores/principals.ts';
import { listTokens } from '../../stores/queries/tokens.ts';
import { deleteUser, keptText, operatorOf } from '../../stores/users.ts';
import type { ApiContext } from '../context.ts';
import { writeOrTry } from '../dry-run.ts';
import { listRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import {
  dryRunSchema,
  emptyBody,
  problemResponses,
  roleSchema,
  switchSchema,
  textSchema,
  timeSchema,
  writeQuery,
} from '../schemas.ts';
import { endSession, isWhole, setSession } from '../sessions.ts';
import type { Api } from '../types.ts';

const tokenSchema = z.object({
  id: idSchema('token'),
  kind: z.enum(['bearer', 'once', 'session']),
  role: roleSchema,
  name: z.string(),
  createdAt: timeSchema,
  expiresAt: timeSchema.nullable(),
  usedAt: timeSchema.nullable(),
  revokedAt: timeSchema.nullable(),
  service: z.string().nullable().describe('The service that it is of'),
  scopes: z.array(z.string()).nullable().describe('null: all that its role may'),
  signedIn: z.boolean().describe('Somebody signed in by it; false: it was made for a program, or is a link'),
});

export function principalRoutes(app: Api, context: ApiContext): void {
  const { principals, db } = context;

  app.route({
    method: 'POST',
    url: '/v1/sessions',
    config: { role: 'none' },
    schema: {
      tags: ['sign-in'],
      summary: 'Swaps the secret of a sign-in link for a session cookie, or for a token of 30 days; works once',
      querystring: writeQuery,
      body: z.strictObject({
        once: z.string().min(8).max(256),
        as: z.enum(['cookie', 'token']).default('cookie').describe('token: for a program, in the answer'),
      }),
      response: {
        200: z.object({ role: roleSchema, token: z.string().optional() }).or(dryRunSchema),
        ...problemResponses,
      },
    },
    handler: async (request, reply) => {
      if (request.query.dryRun) return { dryRun: true as const, would: 'swap the secret for a session' };
      const { once, as } = request.body;
      const session = await principals.redeemOnce(once, as === 'token' ? 'bearer' : 'session');
      if (!session) throw endedLink();
      request.signedIn = {
        ownerId: session.ownerId,
        tokenId: session.id,
        kind: as === 'token' ? 'bearer' : 'session',
        role: session.role,
      };
      if (as === 'token') return { role: session.role, token: session.secret };
      setSession(request, reply, session.secret);
      return { role: session.role };
    },
  });

  app.route({
    method: 'DELETE',
    url: '/v1/sessions',
    config: { role: 'reader', anyScope: true },
    schema: {
      tags: ['sign-in'],
      summary: 'Ends the session that the request came with',
      querystring: writeQuery,
      response: { 200: dryRunSchema, 204: z.undefined(), ...problemResponses },
    },
    handler: async (request, reply) => {
      const caller = callerOf(request);
      if (caller.kind !== 'session') throw new DomainError('CONFLICT', 'the request came with a token, not a session');
      if (request.query.dryRun) return { dryRun: true as const, would: 'end this session' };
      await principals.revoke(caller.tokenId, caller.ownerId);
      return endSession(request, reply).code(204).send();
    },
  });

  app.route({
    method: 'GET',
    url: '/v1/me',
    config: { role: 'reader', anyScope: true },
    schema: {
      tags: ['sign-in'],
      summary: 'Who the token speaks for',
      response: {
        200: z.object({
          userId: idSchema('user'),
          name: z.string(),
          role: roleSchema,
          tokenId: idSchema('token'),
          scopes: z.array(z.string()).nullable().describe('null: all that its role may'),
        }),
        ...problemResponses,
      },
    },
    handler: async (request) => {
      const { ownerId, role, tokenId, scopes } = callerOf(request);
      const user = await userOf(ownerId);
      return { userId: user.id, name: user.name, role, tokenId, scopes: scopes === undefined ? null : [...scopes] };
    },
  });

  app.route({
    method: 'DELETE',
    url: '/v1/me',
    config: { role: 'reader' },
    schema: {
      tags: ['sign-in'],
      summary: 'Deletes yourself, for good: as an operator would delete you',
      description:
        'Takes away address, name, tokens and endpoints, and retires your listings; what the ledger and licenses name stays under the id. A token of a lesser role than its user’s does not do it, nor who runs the installation.',
      querystring: writeQuery,
      body: emptyBody,
      response: { 200: dryRunSchema, 204: z.null(), ...problemResponses },
    },
    handler: async (request, reply) => {
      const caller = callerOf(request);
      const { dryRun } = request.query;
      if (!(await isWhole(caller, principals)))
        throw new DomainError(
          'FORBIDDEN',
          'a token of a lesser role than its user’s, or with scopes, does not delete the user',
        );
      const kept = await writeOrTry(db, dryRun, async (tx) => {
        const operatorId = await operatorOf(tx, caller.ownerId);
        return deleteUser(tx, operatorId, caller.ownerId);
      });
      if (dryRun) return { dryRun: true as const, would: `delete ${caller.ownerId}; ${keptText(kept)}` };
      return endSession(request, reply).code(204).send(null);
    },
  });

  async function userOf(ownerId: string) {
    const user = await principals.user(ownerId);
    if (!user) throw new DomainError('NOT_FOUND', 'the user of this token is gone');
    return user;
  }

  listRoute(app, {
    url: '/v1/tokens',
    role: 'reader',
    anyScope: true,
    tag: 'sign-in',
    summary:
      'Your tokens, sign-in links and sessions; their secrets are not kept. A token of a lesser role than yours, or with scopes, sees itself alone',
    item: tokenSchema,
    filters: {
      signedIn: switchSchema.optional().describe('true: your sessions, in browsers and elsewhere'),
      live: switchSchema.optional().describe('true: only what is neither revoked nor over'),
    },
    params: z.object({}),
    key: idSchema('token'),
    keyOf: (token) => token.id,
    rows: async (page, filters, _params, caller) =>
      listTokens(db, { ...page, ...filters, id: (await isWhole(caller, principals)) ? undefined : caller.tokenId }),
  });

  app.route({
    method: 'POST',
    url: '/v1/tokens',
    config: { role: 'operator' },
    schema: {
      tags: ['sign-in'],
      summary: 'Makes a token, or a sign-in link that works once within 15 minutes; the secret is shown this one time',
      querystring: writeQuery,
      body: z
        .strictObject({
          kind: z.enum(['bearer', 'once']).default('bearer'),
          role: roleSchema.optional().describe('Default: reader; for kind once the caller’s own'),
          service: serviceIdSchema
            .optional()
            .describe('Whose token it is: it opens what services are for, and nothing else'),
          name: textSchema(80).optional().describe('Default: unnamed, or the name of the service'),
          expiresInDays: z
            .int()
            .min(1)
            .max(3650)
            .nullable()
            .default(tokenDays)
            .describe('Only for kind bearer; null: never. A notice says so a week before'),
          scopes: z
            .array(scopeSchema)
            .min(1)
            .max(scopes.length)
            .optional()
            .describe('All that it may, of what its role may; `drops:write` is `drops:read`, too. Default: everything'),
        })
        .refine(
          ({ scopes: asked, kind, service }) => asked === undefined || (kind === 'bearer' && service === undefined),
          {
            path: ['scopes'],
            error: 'must not stand beside kind once, nor beside service: what those open is settled',
            params: { mend: 'Leave out one of them.' },
          },
        )
        .refine(({ service, kind }) => service === undefined || kind === 'bearer', {
          path: ['kind'],
          error: 'must be bearer for a service',
          params: { mend: 'Leave it out.' },
        })
        .refine(({ service, role }) => service === undefined || role === undefined, {
          path: ['role'],
          error: 'must not stand beside service: what the token opens is settled by that',
          params: { mend: 'Leave out one of them.' },
        }),
      response: {
        200: dryRunSchema,
        201: z.object({
          id: idSchema('token'),
          token: z.string(),
          kind: z.enum(['bearer', 'once']),
          role: roleSchema,
          service: z.string().optional(),
          scopes: z.array(z.string()).optional(),
          expiresAt: timeSchema.nullable(),
        }),
        ...problemResponses,
      },
    },
    handler: async (request, reply) => {
      const caller = callerOf(request);
      const { kind, service, expiresInDays, scopes: asked } = request.body;
      refuseMoreThan(caller, asked);
      const name = request.body.name ?? service?.slice(0, 80) ?? 'unnamed';
      if (service !== undefined) {
        if (request.query.dryRun) {
          await principals.assertService(caller.ownerId, service);
          return { dryRun: true as const, would: `make a token for the service ${service}` };
        }
        const { id, secret, expiresAt } = await principals.issueForService(service, {
          ownerId: caller.ownerId,
          name,
          ...(expiresInDays === null ? {} : { expiresInSeconds: expiresInDays * 86_400 }),
        });
        return reply.code(201).send({ id, token: secret, kind, role: serviceRole, service, expiresAt });
      }
      const role = request.body.role ?? (kind === 'once' ? caller.role : 'reader');
      if (!covers(caller.role, role)) throw new DomainError('FORBIDDEN', `a ${caller.role} cannot make a ${role}`);
      if (request.query.dryRun) return { dryRun: true as const, would: `make a ${kind} token of role ${role}` };
      const expiresInSeconds =
        kind === 'once' ? onceSeconds : expiresInDays === null ? undefined : expiresInDays * 86_400;
      const { id, secret, expiresAt } = await principals.issue({
        ownerId: caller.ownerId,
        kind,
        role,
        name,
        ...(expiresInSeconds === undefined ? {} : { expiresInSeconds }),
        ...(asked === undefined ? {} : { scopes: asked }),
      });
      const said = asked === undefined ? {} : { scopes: asked };
      return reply.code(201).send({ id, token: secret, kind, role, ...said, expiresAt });
    },
  });

  app.route({
    method: 'DELETE',
    url: '/v1/me/sessions',
    config: { role: 'reader' },
    schema: {
      tags: ['sign-in'],
      summary: 'Ends whatever else you signed in by, links that are out among them; tokens of programs stay',
      description: 'Which there are: `GET /v1/tokens?signedIn=true&live=true`. One alone: `DELETE /v1/tokens/{id}`.',
      querystring: writeQuery,
      body: emptyBody,
      response: { 200: dryRunSchema.or(z.object({ ended: z.int() })), ...problemResponses },
    },
    handler: async (request) => {
      const caller = callerOf(request);
      const { dryRun } = request.query;
      if (!(await isWhole(caller, principals)))
        throw new DomainError(
          'FORBIDDEN',
          'a token of a lesser role than its user’s, or with scopes, ends none but itself',
        );
      const ended = await writeOrTry(db, dryRun, (tx) => endSignIns(tx, caller.ownerId, caller.tokenId));
      return dryRun ? { dryRun: true as const, would: `end ${ended} sessions and links` } : { ended };
    },
  });

  app.route({
    method: 'DELETE',
    url: '/v1/tokens/:id',
    config: { role: 'reader', anyScope: true },
    schema: {
      tags: ['sign-in'],
      summary:
        'Revokes a token or session of yours at once; a token of a lesser role than yours, or with scopes, ends itself alone',
      querystring: writeQuery,
      params: z.strictObject({ id: idSchema('token') }),
      body: emptyBody,
      response: { 200: dryRunSchema, 204: z.undefined(), ...problemResponses },
    },
    handler: async (request, reply) => {
      const { id } = request.params;
      const caller = callerOf(request);
      const { ownerId } = caller;
      if (id !== caller.tokenId && !(await isWhole(caller, principals)))
        throw new DomainError('NOT_FOUND', `no token ${id}`);
      if (request.query.dryRun) {
        if (!(await principals.exists(id, ownerId))) throw new DomainError('NOT_FOUND', `no token ${id}`);
        return { dryRun: true as const, would: `revoke ${id}` };
      }
      if (!(await principals.revoke(id, ownerId))) throw new DomainError('NOT_FOUND', `no token ${id}`);
      return reply.code(204).send();
    },
  });
}

/** A token with scopes makes none that may more than itself: neither one without, nor a link into a browser. */
function refuseMoreThan({ scopes: held }: Principal, asked: readonly Scope[] | undefined): void {
  if (held === undefined) return;
  const beyond = asked?.filter((scope) => !permits(held, scope));
  if (beyond?.length === 0) return;
  throw new DomainError(
    'FORBIDDEN',
    `a token with scopes makes only tokens with scopes of its own, ${held.join(', ')}${beyond === undefined ? '' : `; not ${beyond.join(', ')}`}`,
  );
}

function endedLink(): DomainError {
  return new DomainError(
    'UNAUTHENTICATED',
    'This sign-in link was used already, or its time is over: ask for another one.',
    {
      fields: [
        {
          path: 'once',
          rule: 'must be of a link that nobody has used, within its time',
          mend: 'Ask for another link: `soulfra sign-up ADDRESS`; who runs the installation, `soulfra token create --once`.',
        },
      ],
    },
  );
}
