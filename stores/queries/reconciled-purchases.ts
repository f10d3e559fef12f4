import { sql } from 'kysely';
import type { Claim } from '../../domain/claims.ts';
import type { DisputeState, RefundState } from '../../domain/payments.ts';
import type { PurchaseFacts } from '../../domain/reconciled-purchases.ts';
import type { LicenseState, PurchaseState } from '../../domain/states.ts';
import type { Database } from '../database.ts';
import { postingsOf } from '../ledger.ts';

/**
 * Purchases of somebody's books behind `after`, each with its license, claims and postings, all of one snapshot: what is
 * bought or given back meanwhile is in it whole or not at all.
 */
export async function purchaseFactsAfter(
  db: Database,
  ownerId: string,
  after: string,
  limit: number,
): Promise<PurchaseFacts[]> {
  return db
    .transaction()
    .setIsolationLevel('repeatable read')
    .setAccessMode('read only')
    .execute(async (tx) => {
      const { rows } = await sql<PurchaseRow>`
        select p.id, p.state, p.amount, p.currency, l.state as license_state, l.suspended_by, l.id is not null and exists (
            select from license_events e where e.license_id = l.id and e.change = 'revoked' and (
              e.actor in (select id from refunds where purchase_id = p.id)
              or e.actor in (select id from disputes where purchase_id = p.id))) as revoked_by_money
        from purchases p left join licenses l on l.purchase_id = p.id
        where p.books_id = ${ownerId} and p.id > ${after} order by p.id limit ${limit}`.execute(tx);
      const ids = rows.map(({ id }) => id);
      const claims = await sql<ClaimRow>`
        select purchase_id, 'refund' as kind, id, amount, currency, state, posted as covered, made_at as at from refunds
          where purchase_id = any(${ids})
        union all select purchase_id, 'dispute', id, amount, currency, state, reserved, opened_at from disputes
          where purchase_id = any(${ids})
        order by at, id`.execute(tx);
      const claimsBy = Map.groupBy(claims.rows, ({ purchaseId }) => purchaseId);
      const postingsBy = Map.groupBy(await postingsOf(tx, ownerId, ids), ({ purchaseId }) => purchaseId);
      return rows.map(({ licenseState, suspendedBy, revokedByMoney, ...row }) => ({
        ...row,
        license: licenseState === null ? null : { state: licenseState, suspendedBy: suspendedBy ?? [], revokedByMoney },
        claims: (claimsBy.get(row.id) ?? []).map(claimOf),
        postings: postingsBy.get(row.id) ?? [],
      }));
    });
}

interface PurchaseRow {
  id: string;
  state: PurchaseState;
  amount: number;
  currency: string;
  licenseState: LicenseState | null;
  suspendedBy: string[] | null;
  revokedByMoney: boolean;
}

interface ClaimRow {
  purchaseId: string;
  kind: Claim['kind'];
  id: string;
  amount: number;
  currency: string;
  state: RefundState | DisputeState;
  covered: number;
}

/** The checks of the tables hold kind and state together. */
function claimOf({ kind, id, amount, currency, state, covered }: ClaimRow): Claim {
  return { kind, id, amount, currency, state, covered } as Claim;
}
