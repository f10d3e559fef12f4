import type { Edit, Protection } from './sabotage.ts';

export interface PurchaseSabotage {
  /** What the protection is in the sources. */
  edits: Edit[];
  /** SQL that takes away what stands behind it in the database. */
  weaken?: string;
  /** What the judge says of a purchase without it: a round that goes wrong in another way has shown nothing. */
  finding: RegExp;
}

/**
 * What purchases lean on. There is no fence among it: steps meet at the row of their purchase, and a process that was killed
 * says nothing late.
 */
export const purchaseSabotages: Partial<Record<Protection, PurchaseSabotage>> = {
  // A request that is sent again.
  idempotency: {
    edits: [
      {
        file: 'api/workflow-starts.ts',
        from: "if (typeof key !== 'string') return v7();",
        to: 'if (key !== null) return v7();',
      },
    ],
    finding: /^a key was answered with two purchases$/,
  },
  // A step that is done again.
  unique: {
    edits: [
      { file: 'stores/purchases.ts', from: 'if (!row) return undefined;', to: 'if (row !== null) return undefined;' },
      {
        file: 'stores/purchases.ts',
        from: "    .onConflict((conflict) => conflict.column('id').doNothing())\n    .returning('id')",
        to: "    .returning('id')",
      },
    ],
    weaken: `alter table purchases drop constraint purchases_pkey cascade;
      alter table purchases drop constraint purchases_license_id_key`,
    finding: / is there twice$/,
  },
  // A payment that is refused after the license was issued.
  compensation: {
    edits: [
      {
        file: 'workflows/purchase-license.ts',
        from: 'for (const { name, undo } of undos) await untilDone(name, undo);',
        to: '',
      },
    ],
    finding: / was undone/,
  },
  // A buyer whose credits are spent.
  cap: {
    edits: [{ file: 'stores/ledger.ts', from: 'refuseOverdrawn(unposted, accounts);', to: '' }],
    weaken: 'alter table ledger_accounts drop constraint ledger_accounts_not_overdrawn',
    finding: / has spent \d+ more than was granted$/,
  },
};
