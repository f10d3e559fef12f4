import { z } from 'zod';
import { callerNetwork } from '../../domain/caller-networks.ts';
import { DomainError, type FieldError } from '../../domain/errors.ts';
import { mailAddressSchema } from '../../domain/mail-addresses.ts';
import { newPasswordSchema, passwordLength, passwordOf } from '../../domain/passwords.ts';
import type { Principal } from '../../stores/principals.ts';
import type { ApiContext } from '../context.ts';
import { writeOrTry } from '../dry-run.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, emptyBody, problemResponses, roleSchema, writeQuery } from '../schemas.ts';
import { isWhole, setSession } from '../sessions.ts';
import type { Api } from '../types.ts';

const typedSchema = z.string().min(1).max(passwordLength.most);

/** The same whether somebody has the address, and a password, or not. */
const wrongPassword: FieldError = {
  path: 'password',
  rule: 'is not that of the address',
  mend: 'Type both again, or ask for a sign-in link.',
};
const lackingCurrent: FieldError = {
  path: 'current',
  rule: 'is missing, and you did not sign in within the last 15 minutes',
  mend: 'Sign in anew, by a mailed link or the password; PUT takes `current` in place of that.',
};
const wrongCurrent: FieldError = {
  path: 'current',
  rule: 'is not the password before',
  mend: 'Type it again, or sign in anew by a mailed link, which needs no `current`.',
};

export function passwordRoutes(app: Api, { db, passwords, passwordHasher, principals }: ApiContext): void {
  app.route({
    method: 'POST',
    url: '/v1/sign-ins',
    config: { role: 'none' },
    schema: {
      tags: ['sign-in'],
      summary: 'Signs in by mail address and password: a session cookie, or a token of 30 days',
      description:
        'Whether anybody has the address, or a password, is not told: all of them are answered alike, in the same time. After five wrong passwords for an address, and twenty from one network, each further one costs a wait (429) that doubles, up to 15 minutes and an hour; meanwhile a mailed link signs in (`POST /v1/sign-ups`), and resets a forgotten password.',
      querystring: writeQuery,
      body: z.strictObject({
        address: mailAddressSchema,
        password: typedSchema,
        as: z.enum(['cookie', 'token']).default('cookie').describe('token: for a program, in the answer'),
      }),
      response: {
        200: z.object({ role: roleSchema, token: z.string().optional() }).or(dryRunSchema),
        ...problemResponses,
      },
    },
    handler: async (request, reply) => {
      const { address, as } = request.body;
      if (request.query.dryRun) return { dryRun: true as const, would: 'sign in, if the password is right' };
      const { tried, isRight } = await passwordHasher.judge(
        () => passwords.begin({ address, network: callerNetwork(request.ip) }),
        passwordOf(request.body.password),
      );
      const kind = as === 'token' ? 'bearer' : 'session';
      const signedIn = isRight ? await passwords.signIn(tried, kind) : undefined;
      if (signedIn === undefined)
        throw new DomainError('UNAUTHENTICATED', 'the address or the password is wrong', { fields: [wrongPassword] });
      const { id, ownerId, role, secret } = signedIn;
      request.signedIn = { ownerId, tokenId: id, kind, role };
      if (as === 'token') return { role, token: secret };
      setSession(request, reply, secret);
      return { role };
    },
  });

  app.route({
    method: 'PUT',
    url: '/v1/me/password',
    config: { role: 'reader' },
    schema: {
      tags: ['sign-in'],
      summary: 'Sets your password, or another one; whatever else you signed in by ends',
      description:
        'With the one before, or within 15 minutes of signing in: so who forgot it asks for a mailed link. Tokens that were made for programs stay.',
      querystring: writeQuery,
      body: z.strictObject({ password: newPasswordSchema, current: typedSchema.optional() }),
      response: { 200: dryRunSchema.or(z.object({ ended: z.int() })), ...problemResponses },
    },
    handler: async (request) => {
      const caller = callerOf(request);
      const { password, current } = request.body;
      const { dryRun } = request.query;
      const before = await assertMay(caller, current, request.ip);
      const hash = await passwordHasher.hash(passwordOf(password));
      const ended = await writeOrTry(db, dryRun, (tx) => passwords.set(tx, caller, hash, before));
      return dryRun ? { dryRun: true as const, would: `set the password and end ${ended} sessions` } : { ended };
    },
  });

  app.route({
    method: 'DELETE',
    url: '/v1/me/password',
    config: { role: 'reader' },
    schema: {
      tags: ['sign-in'],
      summary: 'Takes your password away: from then on mailed links alone sign you in',
      querystring: writeQuery,
      body: emptyBody,
      response: { 200: dryRunSchema.or(z.object({ ended: z.int() })), ...problemResponses },
    },
    handler: async (request) => {
      const caller = callerOf(request);
      const { dryRun } = request.query;
      const before = await assertMay(caller, undefined, request.ip);
      const ended = await writeOrTry(db, dryRun, (tx) => passwords.set(tx, caller, undefined, before));
      return dryRun ? { dryRun: true as const, would: `take the password away and end ${ended} sessions` } : { ended };
    },
  });

  /**
   * A session that somebody walked away from, or a program's token, is not enough to lock its user out.
   * @returns what `current` was found to be; undefined: they signed in just now
   */
  async function assertMay(caller: Principal, current: string | undefined, ip: string): Promise<string | undefined> {
    // A link of a lesser role may have been given to somebody else: by a password of theirs they would get all of the user's.
    if (!(await isWhole(caller, principals)))
      throw new DomainError(
        'FORBIDDEN',
        'a token of a lesser role than its user’s, or with scopes, changes no password',
      );
    if (current === undefined) {
      if (await passwords.isFresh(caller.tokenId)) return undefined;
      throw new DomainError(
        'FORBIDDEN',
        'this needs the password before, or that you signed in within the last 15 minutes',
        { fields: [lackingCurrent] },
      );
    }
    const address = await passwords.addressOf(caller.ownerId);
    const { tried, isRight } = await passwordHasher.judge(
      () => passwords.begin({ address, network: callerNetwork(ip) }),
      passwordOf(current),
    );
    if (!isRight) throw new DomainError('FORBIDDEN', 'the password before is another one', { fields: [wrongCurrent] });
    await passwords.forgive(tried);
    return tried.hash;
  }
}
