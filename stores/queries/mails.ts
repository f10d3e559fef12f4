import type { MailOutcome, MailState, MailTemplate } from '../../domain/mails.ts';
import type { Executor } from '../database.ts';
import { iso, type PageRequest } from './page.ts';

export interface MailView {
  id: string;
  template: MailTemplate;
  templateVersion: number;
  userId: string | null;
  address: string | null;
  state: MailState;
  reason: string;
  queuedAt: string;
  endedAt: string | null;
}

export interface MailAttemptView {
  attempt: number;
  beganAt: string;
  endedAt: string | null;
  outcome: MailOutcome | null;
  answer: string;
}

function mailsOf(db: Executor, ownerId: string) {
  return db
    .selectFrom('mails')
    .select(['id', 'template', 'templateVersion', 'userId', 'address', 'state', 'reason', 'queuedAt', 'endedAt'])
    .where('ownerId', '=', ownerId);
}

type Row = Awaited<ReturnType<ReturnType<typeof mailsOf>['executeTakeFirstOrThrow']>>;

function viewOf(row: Row): MailView {
  return {
    ...row,
    template: row.template as MailTemplate,
    state: row.state as MailState,
    queuedAt: iso(row.queuedAt),
    endedAt: iso(row.endedAt),
  };
}

/** The last asked for first. */
export async function listMails(
  db: Executor,
  { ownerId, after, limit, state }: PageRequest & { state?: MailState | undefined },
): Promise<MailView[]> {
  let query = mailsOf(db, ownerId);
  if (state !== undefined) query = query.where('state', '=', state);
  if (after !== undefined) query = query.where('id', '<', after);
  return (await query.orderBy('id', 'desc').limit(limit).execute()).map(viewOf);
}

/** With every try; never with the words, which may hold a secret. */
export async function findMail(
  db: Executor,
  ownerId: string,
  id: string,
): Promise<(MailView & { attempts: MailAttemptView[] }) | undefined> {
  const row = await mailsOf(db, ownerId).where('id', '=', id).executeTakeFirst();
  if (!row) return undefined;
  const attempts = await db
    .selectFrom('mailAttempts')
    .select(['attempt', 'beganAt', 'endedAt', 'outcome', 'answer'])
    .where('mailId', '=', id)
    .orderBy('attempt')
    .execute();
  return {
    ...viewOf(row),
    attempts: attempts.map((attempt) => ({
      ...attempt,
      outcome: attempt.outcome as MailOutcome | null,
      beganAt: iso(attempt.beganAt),
      endedAt: iso(attempt.endedAt),
    })),
  };
}
