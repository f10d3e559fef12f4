import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { mailWorkflowId } from '../domain/ids.ts';
import {
  afterMailTry,
  isLink,
  type MailOutcome,
  type MailState,
  type MailStep,
  type MailTemplate,
  openMailStep,
} from '../domain/mails.ts';
import { type InviteMail, mailTextVersions } from '../domain/mail-texts.ts';
import type { Role } from '../domain/states.ts';
import type { Database, DatabaseTransaction } from './database.ts';
import { newId } from './ids.ts';
import { insertIntent } from './intents.ts';
import { bringsStrangers, invitationSchema, inviteMail, issueInviteToken } from './invite-mails.ts';
import { openNotice, resolveNotice } from './notices.ts';
import { inviteSeconds, issueToken, onceSeconds } from './principals.ts';
import { signUp } from './users.ts';

export interface NewMail {
  /** Who runs the installation. */
  ownerId: string;
  /** Null: whose address it is will be known when it is sent. */
  userId: string | null;
  /** What makes two of them the same mail. */
  key: string;
  template: MailTemplate;
  /** Never a secret: links get theirs as they leave. */
  data?: Record<string, unknown>;
  address: string;
}

/** Asks for a mail in the transaction of what causes it; the same key asks once. @returns whether it was new */
export async function queueMail(tx: DatabaseTransaction, { data = {}, ...mail }: NewMail): Promise<boolean> {
  const id = newId('mail');
  const added = await tx
    .insertInto('mails')
    .values({ ...mail, id, data: JSON.stringify(data), templateVersion: mailTextVersions[mail.template] })
    .onConflict((conflict) => conflict.column('key').doNothing())
    .returning('id')
    .executeTakeFirst();
  if (!added) return false;
  await insertIntent(tx, { workflowId: mailWorkflowId(id, 0), type: 'sendMail', args: [{ mailId: id }] });
  return true;
}

export interface OpenMail {
  id: string;
  ownerId: string;
  /** null: of an invitation to somebody who is no user yet. */
  userId: string | null;
  template: MailTemplate;
  data: unknown;
  address: string;
  queuedAt: Date;
  /** An earlier sending may have arrived, or did. */
  again: boolean;
  role: Role;
}

/** What there is to do about a mail now. */
export type MailTurn = { send: OpenMail } | { step: MailStep };

interface MailRow {
  id: string;
  ownerId: string;
  userId: string | null;
  template: MailTemplate;
  data: unknown;
  address: string | null;
  state: MailState;
  resends: number;
  queuedAt: Date;
}

const serverNotice = (ownerId: string) => `mail-server:${ownerId}`;
const mailNotice = (id: string) => `mail:${id}`;

async function lockMail(tx: DatabaseTransaction, id: string): Promise<MailRow> {
  const row = await tx
    .selectFrom('mails')
    .select(['id', 'ownerId', 'userId', 'template', 'data', 'address', 'state', 'resends', 'queuedAt'])
    .where('id', '=', id)
    .forUpdate()
    .executeTakeFirst();
  if (!row) throw new DomainError('NOT_FOUND', `no mail ${id}`);
  return { ...row, template: row.template as MailTemplate, state: row.state as MailState };
}

async function outcomesOf(tx: DatabaseTransaction, mail: MailRow): Promise<MailOutcome[]> {
  const rows = await tx
    .selectFrom('mailAttempts')
    .select('outcome')
    .where('mailId', '=', mail.id)
    .where('resend', '=', mail.resends)
    .where('outcome', 'is not', null)
    .orderBy('attempt')
    .execute();
  return rows.map(({ outcome }) => outcome as MailOutcome);
}

async function setState(tx: DatabaseTransaction, mail: MailRow, state: MailState, reason: string): Promise<void> {
  const isOpen = state === 'pending' || state === 'sending';
  await tx
    .updateTable('mails')
    .set({ state, reason, endedAt: isOpen ? null : sql<Date>`now()` })
    .where('id', '=', mail.id)
    .execute();
}

/** Anybody may ask for a link to any address: that it could not be sent is nobody's business but theirs. */
async function tell(tx: DatabaseTransaction, mail: MailRow, state: MailState, reason: string): Promise<void> {
  if (mail.template === 'sign_in') return;
  if (state !== 'failed' && state !== 'unconfirmed') return resolveNotice(tx, mailNotice(mail.id));
  const unconfirmed = state === 'unconfirmed';
  const what = mail.template.replace('_', ' ');
  await openNotice(tx, {
    id: newId('notice'),
    ownerId: mail.ownerId,
    kind: unconfirmed ? 'mail_unconfirmed' : 'mail_failing',
    key: mailNotice(mail.id),
    subject: mail.id,
    title: unconfirmed ? `A ${what} may or may not have arrived` : `A ${what} could not be sent`,
    detail: `${reason}. It is not sent again by itself${unconfirmed ? '; sent again it says that it is a copy' : ''}.`,
    action: `soulfra mail resend ${mail.id}`,
  });
}

/** Puts down what came of the last try and what follows from it. */
async function settle(tx: DatabaseTransaction, mail: MailRow, reason: string): Promise<MailStep> {
  const step = afterMailTry({ template: mail.template, outcomes: await outcomesOf(tx, mail) });
  await setState(tx, mail, step.state, step.state === 'sent' ? '' : reason);
  await tell(tx, mail, step.state, reason);
  return step;
}

export function createMailStore(db: Database) {
  return {
    /**
     * Whether and to whom it is to be sent now. A try that has no end was made by somebody who died, or was given up on: what
     * became of it is not known, and it counts as unconfirmed before anything else is done.
     */
    async turn(id: string, rules: { signUpOpen: boolean }): Promise<MailTurn> {
      return db.transaction().execute(async (tx): Promise<MailTurn> => {
        const mail = await lockMail(tx, id);
        if (mail.state !== 'pending' && mail.state !== 'sending') return { step: { state: mail.state } };
        const left =
          await sql`update mail_attempts set ended_at = now(), outcome = 'unconfirmed', answer = 'whoever sent it was gone before the answer'
          where mail_id = ${id} and outcome is null`.execute(tx);
        if ((left.numAffectedRows ?? 0n) > 0n) {
          return { step: await settle(tx, mail, 'whoever sent it was gone before the answer') };
        }
        const to = mail.address === null ? gone : await recipient(tx, mail, mail.address, rules);
        if (typeof to === 'string') {
          // Who is not known here leaves nothing behind.
          await sql`update mails set address = null where id = ${id}`.execute(tx);
          await setState(tx, mail, 'failed', to);
          return { step: { state: 'failed' } };
        }
        const before = await tx
          .selectFrom('mailAttempts')
          .select('attempt')
          .where('mailId', '=', id)
          .where('outcome', 'in', ['unconfirmed', 'accepted'])
          .executeTakeFirst();
        return { send: { ...mail, ...to, address: mail.address!, again: before !== undefined } };
      });
    },

    /**
     * To be called when the server listens and before a byte of the mail leaves: from here on a death means that it may have been sent.
     * @returns the try, and for a link its secret, which stands nowhere else; undefined where another try is under way or it has ended
     */
    async begin(open: OpenMail): Promise<{ attempt: number; secret?: string } | undefined> {
      return db.transaction().execute(async (tx) => {
        // Before the mail, as a deletion does.
        const user = await sql<{ role: Role }>`select role from users where id = ${open.userId} and deleted_at is null
          for share`.execute(tx);
        const mail = await lockMail(tx, open.id);
        const [to] = user.rows;
        // Who is invited to a guild by an address may be no user yet.
        if ((to === undefined && open.userId !== null) || mail.state !== 'pending') return undefined;
        const invitation = mail.template === 'guild_invite' ? await issueInviteToken(tx, mail) : undefined;
        if (mail.template === 'guild_invite' && invitation === undefined) {
          await setState(tx, mail, 'failed', invitationEnded);
          return undefined;
        }
        const { attempt } = await tx
          .selectFrom('mailAttempts')
          .select(sql<number>`coalesce(max(attempt), 0) + 1`.as('attempt'))
          .where('mailId', '=', mail.id)
          .executeTakeFirstOrThrow();
        await tx.insertInto('mailAttempts').values({ mailId: mail.id, attempt, resend: mail.resends }).execute();
        await setState(tx, mail, 'sending', '');
        if (invitation !== undefined) return { attempt, secret: invitation };
        if (!isLink(mail.template)) return { attempt };
        if (to === undefined) throw new Error(`${mail.id} is a sign-in link for nobody`);
        const { secret } = await issueToken(tx, {
          ownerId: open.userId!,
          kind: 'once',
          // As it is by now, under the row's lock: it may have been changed since the mail's turn.
          role: to.role,
          name: 'mailed link',
          expiresInSeconds: mail.template === 'invite' ? inviteSeconds : onceSeconds,
          mailId: mail.id,
        });
        return { attempt, secret };
      });
    },

    /**
     * What came of a try; without `attempt` none was begun. Told late, after the try was given up on, it still counts where it is
     * better news.
     */
    async end(open: OpenMail, attempt: number | undefined, outcome: MailOutcome, answer: string): Promise<MailStep> {
      return db.transaction().execute(async (tx) => {
        const mail = await lockMail(tx, open.id);
        const told = answer.slice(0, 500);
        if (attempt === undefined) {
          if (mail.state !== 'pending') return openMailStep(mail.state);
          await sql`insert into mail_attempts (mail_id, attempt, resend, ended_at, outcome, answer)
            select ${mail.id}, coalesce(max(attempt), 0) + 1, ${mail.resends}, now(), ${outcome}, ${told}
            from mail_attempts where mail_id = ${mail.id}`.execute(tx);
        } else {
          const ended = await sql`update mail_attempts set ended_at = now(), outcome = ${outcome}, answer = ${told}
            where mail_id = ${mail.id} and attempt = ${attempt}
              and (outcome is null or (outcome = 'unconfirmed' and ${outcome}::text = 'accepted'))`.execute(tx);
          if ((ended.numAffectedRows ?? 0n) === 0n) return openMailStep(mail.state);
          const other = await sql`select from mail_attempts where mail_id = ${mail.id} and outcome is null`.execute(tx);
          if (other.rows.length > 0 || mail.state === 'sent' || mail.state === 'failed')
            return openMailStep(mail.state);
        }
        const reachable = outcome === 'accepted' || outcome === 'refused' || outcome === 'deferred';
        if (reachable) await resolveNotice(tx, serverNotice(mail.ownerId));
        else if (outcome === 'not_sent') {
          await openNotice(tx, {
            id: newId('notice'),
            ownerId: mail.ownerId,
            kind: 'mail_failing',
            key: serverNotice(mail.ownerId),
            subject: 'mail',
            title: 'No mail can be sent',
            detail: told,
            action: 'soulfra mail list',
          });
        }
        return settle(tx, mail, told);
      });
    },

    /** What a mailed invitation to a guild says. @throws NOT_FOUND */
    invitation: ({ data }: OpenMail): Promise<InviteMail> => inviteMail(db, invitationSchema.parse(data)),

    /** A person wants it sent again. @throws NOT_FOUND · CONFLICT where it is under way, was sent, or is a link */
    async resend(tx: DatabaseTransaction, ownerId: string, id: string): Promise<void> {
      const mail = await lockMail(tx, id);
      if (mail.ownerId !== ownerId) throw new DomainError('NOT_FOUND', `no mail ${id}`);
      if (mail.template === 'sign_in')
        throw new DomainError('CONFLICT', 'a new link is asked for with POST /v1/sign-ups');
      if (mail.state !== 'failed' && mail.state !== 'unconfirmed')
        throw new DomainError('CONFLICT', `${id} is ${mail.state}`);
      if (mail.address === null) throw new DomainError('CONFLICT', `${id} was to a user who is deleted`);
      const resends = mail.resends + 1;
      await sql`update mails set resends = ${resends} where id = ${id}`.execute(tx);
      await setState(tx, mail, 'pending', '');
      await resolveNotice(tx, mailNotice(id));
      await insertIntent(tx, { workflowId: mailWorkflowId(id, resends), type: 'sendMail', args: [{ mailId: id }] });
    },
  };
}
export type MailStore = ReturnType<typeof createMailStore>;

const gone = 'the user was deleted';
const unknown = 'nobody has the address, and sign-up is closed';
const invitationEnded = 'the invitation has ended';

/**
 * Whom the address is of. A link to one that nobody has is a sign-up, where that is open; an invitation to one makes a user only
 * once it is accepted.
 * @returns why it is not sent, where it is not
 */
async function recipient(
  tx: DatabaseTransaction,
  mail: MailRow,
  address: string,
  { signUpOpen }: { signUpOpen: boolean },
): Promise<{ userId: string | null; role: Role } | string> {
  const known = await tx
    .selectFrom('users')
    .select(['id', 'role', 'operatorId'])
    .where('address', '=', address)
    .where('deletedAt', 'is', null)
    .executeTakeFirst();
  let userId = known?.id;
  const role = (known?.role ?? 'member') as Role;
  if (userId === undefined) {
    if (mail.userId !== null) return gone;
    if (mail.template === 'guild_invite')
      return signUpOpen || (await bringsStrangers(tx, mail)) ? { userId: null, role } : unknown;
    if (!signUpOpen) return unknown;
    userId = await signUp(tx, { operatorId: mail.ownerId, address });
    if (userId === undefined) throw new DomainError('UNAVAILABLE', 'the address was taken at the same moment');
  } else if (mail.userId !== null && mail.userId !== userId) return gone;
  if (mail.userId === null) await sql`update mails set user_id = ${userId} where id = ${mail.id}`.execute(tx);
  return { userId, role };
}
