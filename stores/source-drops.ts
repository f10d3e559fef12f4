import type { Database } from './database.ts';
import { asItCame } from './quotations.ts';

export interface Drop {
  id: string;
  seq: number;
  text: string;
  /** ISO. */
  occurredAt: string;
}

export function createSourceDropStore(db: Database) {
  return {
    /** Living drops of an agent after a place in its memories, oldest first; none that it was given itself by a source, was born with, or that only quotes others. */
    async after(input: { ownerId: string; agentId: string; seq: number; limit: number }): Promise<Drop[]> {
      const rows = await db
        .selectFrom('memories')
        .select(['id', 'seq', 'text', 'occurredAt'])
        .where('ownerId', '=', input.ownerId)
        .where('agentId', '=', input.agentId)
        .where('kind', '=', 'drop')
        .where('externalKey', 'not like', 'source:%')
        .where('seq', '>', input.seq)
        .where('deletedAt', 'is', null)
        .where('supersededAt', 'is', null)
        .where(asItCame)
        .orderBy('seq')
        .limit(input.limit)
        .execute();
      return rows.map((row) => ({ ...row, occurredAt: row.occurredAt.toISOString() }));
    },
  };
}
export type SourceDropStore = ReturnType<typeof createSourceDropStore>;
