import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { mailAddressSchema } from '../../domain/mail-addresses.ts';
import { currentFleet } from '../../stores/fleets.ts';
import { findInviteToken } from '../../stores/invite-tokens.ts';
import type { ApiContext } from '../context.ts';
import { writeOrTry } from '../dry-run.ts';
import { asDomainError, problemOf } from '../errors.ts';
import { createInviteJoining } from '../invite-joining.ts';
import { askLinkPage, invitationPage, joinedPage, joinRefusal, mailedPage, refusedPage } from '../join-pages.ts';
import { pagePolicy, sendPage } from '../pages.ts';
import { bodyLimit } from '../plugins/bodies.ts';
import { refuseOtherOrigins, sessionOf } from '../plugins/roles.ts';
import { readerLocale } from '../reader-locale.ts';
import { setSession } from '../sessions.ts';
import { createSignUps } from '../sign-ups.ts';
import type { Api } from '../types.ts';

/** Kept while who was given a link signs in, for this path alone and out of the reach of scripts. */
const inviteCookie = 'soulfra_invite';
const keptSeconds = 3_600;

const policy = pagePolicy({ 'script-src': "'self'" });
const secretIn = z
  .string()
  .transform((text) => /sfi_[\w-]{43}(?![\w-])/.exec(text)?.[0])
  .refine((secret) => secret !== undefined, 'must be the link of an invitation');
const formSchema = z.object({
  link: secretIn,
  act: z.enum(['look', 'join', 'sign-up']).default('look'),
  address: mailAddressSchema.optional(),
});

/** The page of an invitation: a stranger without an account joins on it, on any browser and without scripts. */
export function joinPageRoutes(app: Api, context: ApiContext): void {
  const { db, principals, inviteAnswers, log } = context;
  const joining = createInviteJoining(context);
  const signUp = createSignUps(context);

  app.register(async (scope) => {
    const pages = scope as unknown as Api;
    pages.removeAllContentTypeParsers();
    pages.addContentTypeParser(
      'application/x-www-form-urlencoded',
      { parseAs: 'string', bodyLimit },
      (_request, body, done) => done(null, Object.fromEntries(new URLSearchParams(body as string))),
    );
    pages.setErrorHandler((err, request, reply) => {
      const known = asDomainError(err);
      const { status } = problemOf(known, request.id);
      if (status >= 500) log.error({ err, requestId: request.id, code: known.code }, 'request failed');
      return send(reply.code(status), refusedPage(joinRefusal(known.code, known.message)));
    });

    pages.route({
      method: 'GET',
      url: '/join',
      config: { role: 'none' },
      schema: { hide: true },
      handler: async (request, reply) => {
        const kept = secretIn.safeParse(request.cookies[inviteCookie]).data;
        if (kept === undefined) return send(reply, askLinkPage());
        await joining.limit(request, reply);
        return look(request, reply, kept);
      },
    });

    pages.route({
      method: 'POST',
      url: '/join',
      config: { role: 'none' },
      schema: { hide: true, body: formSchema },
      handler: async (request, reply) => {
        refuseOtherOrigins(request);
        await joining.limit(request, reply);
        const { act, address } = request.body;
        const secret = request.body.link!;
        if (act === 'look') return look(request, reply, secret);
        if (act === 'join') return join(request, reply, secret);
        if (address === undefined) throw new DomainError('INVALID_INPUT', 'a mail address is missing');
        // Who invites nobody any more has no mails sent, either.
        await joining.preview(secret);
        await signUp(request, address);
        void reply.setCookie(inviteCookie, secret, {
          path: '/join',
          httpOnly: true,
          // Who comes from their mailbox is on the way back here.
          sameSite: 'lax',
          secure: request.protocol === 'https',
          maxAge: keptSeconds,
        });
        return send(reply, mailedPage());
      },
    });
  });

  async function look(request: FastifyRequest, reply: FastifyReply, secret: string): Promise<FastifyReply> {
    const preview = await joining.preview(secret);
    const { mailed } = await findInviteToken(db, secret);
    const signedIn = (await sessionOf(request, principals)) !== undefined;
    const signUpOpen = (await currentFleet(db))?.fleet.people.signUp === 'open';
    const locale = readerLocale(request.headers['accept-language']);
    return send(reply, invitationPage({ ...preview, secret, mailed, signedIn, signUpOpen, locale }));
  }

  /** Who is signed in joins as themselves; else the secret of a mail shows who they are. */
  async function join(request: FastifyRequest, reply: FastifyReply, secret: string): Promise<FastifyReply> {
    const caller = await sessionOf(request, principals);
    if (caller) {
      const actor = { ownerId: caller.ownerId, agentId: null };
      const accepted = await writeOrTry(db, false, (tx) => inviteAnswers.acceptByToken(tx, { secret, actor }));
      await joining.told(accepted);
      return ended(reply, { guildId: accepted.guildId, isNewUser: false, canOpen: true });
    }
    const { issued, ...joined } = await joining.byMail(secret, { kind: 'session' });
    if (issued !== undefined) setSession(request, reply, issued);
    await joining.told(joined);
    return ended(reply, { ...joined, canOpen: issued !== undefined });
  }

  function ended(reply: FastifyReply, joined: Parameters<typeof joinedPage>[0]): FastifyReply {
    return send(reply.clearCookie(inviteCookie, { path: '/join' }), joinedPage(joined));
  }

  /** By `no-referrer` browsers would say of our own form that it comes from nowhere; no address here holds a secret. */
  function send(reply: FastifyReply, page: string): FastifyReply {
    return sendPage(reply.header('referrer-policy', 'same-origin'), page, { policy });
  }
}
