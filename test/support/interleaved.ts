import type { KyselyPlugin } from 'kysely';
import type { DatabaseTransaction } from '../../stores/database.ts';

/** The same transaction, which does `between` once, after its n-th statement and before the next: what others may do just then. */
export function interleaved(
  tx: DatabaseTransaction,
  { after, between }: { after: number; between: () => Promise<unknown> },
): DatabaseTransaction {
  let statements = 0;
  const plugin: KyselyPlugin = {
    transformQuery: ({ node }) => node,
    async transformResult({ result }) {
      statements += 1;
      if (statements === after) await between();
      return result;
    },
  };
  return tx.withPlugin(plugin);
}
