import { DomainError } from '../domain/errors.ts';
import { endedByPerson, type NoticeKind } from '../domain/notices.ts';
import type { DatabaseTransaction } from './database.ts';
import { resolveNotice } from './notices.ts';
import { endByPerson } from './payment-events.ts';

/**
 * A person has settled what a notice asks for. An event of a provider that cannot be settled is then let be.
 * @returns false where it was done already
 * @throws NOT_FOUND · CONFLICT for one that closes by itself, once its cause is gone
 */
export async function endNotice(
  tx: DatabaseTransaction,
  { id, ownerId, by }: { id: string; ownerId: string; by: string },
): Promise<boolean> {
  const notice = await tx
    .selectFrom('notices')
    .select(['kind', 'key', 'subject', 'resolvedAt'])
    .where('id', '=', id)
    .where('ownerId', '=', ownerId)
    .forUpdate()
    .executeTakeFirst();
  if (!notice) throw new DomainError('NOT_FOUND', `no notice ${id}`);
  if (notice.resolvedAt !== null) return false;
  const kind = notice.kind as NoticeKind;
  if (!endedByPerson.includes(kind))
    throw new DomainError('CONFLICT', `a notice of ${kind} closes by itself once its cause is gone`);
  if (kind === 'payment_stuck') await endByPerson(tx, notice.subject, by);
  await resolveNotice(tx, notice.key);
  return true;
}
