import { sql } from 'kysely';
import { beyondOf, type Claim } from '../domain/claims.ts';
import { licenseSteps, type LicenseStanding } from '../domain/license-standing.ts';
import type { DisputeState, RefundState } from '../domain/payments.ts';
import type { DatabaseTransaction } from './database.ts';
import { databaseNow, type LicenseRow, lockLicense } from './license-rows.ts';
import { reinstateLicense, revokeLicense, suspendLicense } from './licenses.ts';
import { tellBeyond } from './payment-notices.ts';

/** When a claim came, or ended: under `lockSale`, and not as its transaction began, so that they stand in the order of the lock. */
export const cameNow = sql<Date>`clock_timestamp()`;

/** Refunds through the provider and disputes of a purchase, in the order in which they came; to be read under `lockSale`. */
export async function claimsOf(tx: DatabaseTransaction, purchaseId: string): Promise<Claim[]> {
  const disputes = await tx
    .selectFrom('disputes')
    .select(['id', 'amount', 'currency', 'state', 'reserved as covered', 'openedAt as at'])
    .where('purchaseId', '=', purchaseId)
    .execute();
  const refunds = await tx
    .selectFrom('refunds')
    .select(['id', 'amount', 'currency', 'state', 'posted as covered', 'madeAt as at'])
    .where('purchaseId', '=', purchaseId)
    .execute();
  return [
    ...disputes.map(({ at, ...row }) => ({
      at,
      claim: { ...row, kind: 'dispute' as const, state: row.state as DisputeState },
    })),
    ...refunds.map(({ at, ...row }) => ({
      at,
      claim: { ...row, kind: 'refund' as const, state: row.state as RefundState },
    })),
  ]
    .toSorted((a, b) => a.at.getTime() - b.at.getTime() || (a.claim.id < b.claim.id ? -1 : 1))
    .map(({ claim }) => claim);
}

/** Writes down how much of each the parties have given by now, and tells, or no longer tells, of what is beyond. */
export async function keepCovered(
  tx: DatabaseTransaction,
  changed: readonly Claim[],
  of: { ownerId: string; purchaseId: string },
): Promise<void> {
  for (const claim of changed) {
    const { id, kind, covered, currency } = claim;
    if (kind === 'dispute') await tx.updateTable('disputes').set({ reserved: covered }).where('id', '=', id).execute();
    else await tx.updateTable('refunds').set({ posted: covered }).where('id', '=', id).execute();
    await tellBeyond(tx, { ...of, what: id, money: { amount: beyondOf(claim), currency } });
  }
}

/** Brings the license of a purchase to where its money says it stands, in the transaction that moves the money. */
export async function followMoney(
  tx: DatabaseTransaction,
  license: LicenseRow | undefined,
  standing: LicenseStanding,
  by: { actor: string; reason: string },
): Promise<void> {
  if (!license) return;
  for (const step of licenseSteps(license, standing)) {
    const target = { id: license.id, by };
    if (step.change === 'revoked') await revokeLicense(tx, target);
    else if (step.change === 'suspended') await suspendLicense(tx, { ...target, cause: step.cause });
    else await reinstateLicense(tx, { ...target, cause: step.cause });
  }
}

/** Locked, so that what is used of it meanwhile is seen. */
export async function lockLicenseOf(tx: DatabaseTransaction, purchaseId: string): Promise<LicenseRow | undefined> {
  const row = await tx.selectFrom('licenses').select('id').where('purchaseId', '=', purchaseId).executeTakeFirst();
  return row && lockLicense(tx, row.id, null, databaseNow);
}
