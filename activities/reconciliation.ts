import { Context } from '@temporalio/activity';
import { type Discrepancy, mostFound, walkEntries, type WalkedEntry } from '../domain/reconciliation.ts';
import type { Reconciliation, ReconciliationStore } from '../stores/reconciliations.ts';

/** Rows of a statement: a transaction must end within 10 s. */
const page = 5_000;
/** Each is read with all its postings. */
const purchasePage = 500;

export interface ReconciledBooks {
  books: number;
  entries: number;
  discrepancies: number;
}

export function createReconciliationActivities({ reconciliations }: { reconciliations: ReconciliationStore }) {
  /** Page by page beside what is posted meanwhile: entries are append-only, and each statement sees books that stand still. */
  async function passOver(ownerId: string, period: string, beat: (entries: number) => void): Promise<Reconciliation> {
    const found: Discrepancy[] = [];
    let discrepancies = 0;
    const add = (more: readonly Discrepancy[]) => {
      discrepancies += more.length;
      found.push(...more.slice(0, mostFound - found.length));
    };
    add(await reconciliations.sums(ownerId));
    const accounts = await inPages('', async (after) => {
      const { next, accounts: rows, found: moved } = await reconciliations.movedAfter(ownerId, after, page);
      add(moved);
      beat(0);
      return { next, rows };
    });
    const transfers = await inPages(0, async (after) => {
      const { next, transfers: rows, found: lopsided } = await reconciliations.lopsidedAfter(ownerId, after, page);
      add(lopsided);
      beat(0);
      return { next, rows };
    });
    await inPages('', async (after) => {
      const {
        next,
        purchases: rows,
        found: differing,
      } = await reconciliations.comparedAfter(ownerId, after, purchasePage);
      add(differing);
      beat(0);
      return { next, rows };
    });
    await inPages(0, async (after) => {
      const { next, sales: rows, found: unbought } = await reconciliations.unboughtAfter(ownerId, after, page);
      add(unbought);
      beat(0);
      return { next, rows };
    });
    let entries = 0;
    let before: WalkedEntry | undefined;
    for (;;) {
      const rows: WalkedEntry[] = await reconciliations.entriesAfter(ownerId, before, page);
      const isLast = rows.length < page;
      add(walkEntries(rows, before, isLast));
      entries += rows.length;
      before = rows.at(-1) ?? before;
      beat(entries);
      if (isLast) return { ownerId, period, accounts, transfers, entries, discrepancies, found };
    }
  }

  return {
    /**
     * One pass over the books of an owner, or of all: balances by currency and entries by transfer add up to zero, every
     * account is what its entries make it, and purchases, licenses and money agree. It only reads until it stores what it found, so a second execution begins anew,
     * and finds books that are done already as they were stored.
     */
    async reconcileBooks({ period, ownerId }: { period: string; ownerId?: string }): Promise<ReconciledBooks> {
      const context = Context.current();
      const owners = ownerId === undefined ? await reconciliations.owners() : [ownerId];
      const done: ReconciledBooks = { books: 0, entries: 0, discrepancies: 0 };
      for (const each of owners) {
        let books = await reconciliations.find(each, period);
        if (!books) {
          const pass = await passOver(each, period, (entries) => {
            context.cancellationSignal.throwIfAborted();
            context.heartbeat({ ownerId: each, entries });
          });
          await reconciliations.store(pass);
          books = pass;
        }
        done.books += 1;
        done.entries += books.entries;
        done.discrepancies += books.discrepancies;
      }
      return done;
    },
  };
}
export type ReconciliationActivities = ReturnType<typeof createReconciliationActivities>;

/** @returns rows of all pages */
async function inPages<Key>(
  from: Key,
  step: (after: Key) => Promise<{ next: Key | null; rows: number }>,
): Promise<number> {
  let all = 0;
  for (let after: Key | null = from; after !== null; ) {
    const { next, rows }: { next: Key | null; rows: number } = await step(after);
    all += rows;
    after = next;
  }
  return all;
}
