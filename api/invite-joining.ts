import type { FastifyReply, FastifyRequest } from 'fastify';
import { DomainError } from '../domain/errors.ts';
import { currentFleet } from '../stores/fleets.ts';
import type { Accepted } from '../stores/invite-answers.ts';
import { joinByMail, previewInvite } from '../stores/invite-joins.ts';
import { issueToken, sessionSeconds } from '../stores/principals.ts';
import type { ApiContext } from './context.ts';
import { writeOrTry } from './dry-run.ts';
import { createLimitCounter } from './plugins/rate-limit.ts';

/** Without being signed in, from one address of the network: enough for a household, little for who guesses. */
const openWindowMs = 15 * 60_000;
const mostOpen = 60;

type Needs = Pick<ApiContext, 'db' | 'inviteAnswers' | 'tellInvites' | 'redis'>;

/** Looking at an invitation and joining by its secret, for programs (JSON) and people (pages) alike. */
export function createInviteJoining({ db, inviteAnswers, tellInvites, redis }: Needs) {
  const count = createLimitCounter(redis, { windowMs: openWindowMs });

  return {
    /** @throws RATE_LIMITED */
    async limit(request: FastifyRequest, reply: FastifyReply): Promise<void> {
      const { current, ttl } = await count(`invite:ip:${request.ip}`);
      if (current <= mostOpen) return;
      void reply.header('retry-after', Math.ceil(ttl / 1000));
      throw new DomainError(
        'RATE_LIMITED',
        `more than ${mostOpen} looks at invitations in ${openWindowMs / 60_000} minutes`,
      );
    },

    /** Nothing is used by looking. @throws NOT_FOUND · INVITE_ENDED */
    preview: (secret: string) => db.transaction().execute((tx) => previewInvite(tx, secret)),

    /**
     * By the secret of a mail, without being signed in.
     * @returns `issued`, where a user was made: the secret that they are signed in by
     */
    byMail: (secret: string, { kind, dryRun }: { kind: 'bearer' | 'session'; dryRun?: boolean | undefined }) =>
      writeOrTry(db, dryRun, async (tx) => {
        const signUpOpen = (await currentFleet(tx))?.fleet.people.signUp === 'open';
        const made = await joinByMail(tx, inviteAnswers, { secret, signUpOpen });
        if (!made.isNewUser) return { ...made, issued: undefined };
        const issued = await issueToken(tx, {
          ownerId: made.userId,
          kind,
          role: 'member',
          name: 'invitation',
          signedIn: true,
          expiresInSeconds: sessionSeconds,
        });
        return { ...made, issued: issued.secret };
      }),

    /** A link that goes on tells its workflow nothing by each use. */
    async told({ inviteId, isNew, hasEnded }: Pick<Accepted, 'inviteId' | 'isNew' | 'hasEnded'>): Promise<void> {
      if (isNew && hasEnded) await tellInvites([inviteId]);
    },
  };
}
