import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import type { Database } from './database.ts';

export interface StepKey {
  /** The run, or whatever else a machine works for. */
  workId: string;
  step: string;
}

export function createStepResultStore(db: Database) {
  const read = async <Result>({ workId, step }: StepKey): Promise<Result | undefined> => {
    const row = await db
      .selectFrom('stepResults')
      .select('result')
      .where('workId', '=', workId)
      .where('step', '=', step)
      .executeTakeFirst();
    return row?.result as Result | undefined;
  };

  return {
    read,

    /**
     * Stores a step's result if the machine still holds the epoch it worked under; the first result of a step stays.
     * The share lock is what keeps a bump of the epoch from slipping in between.
     * @returns the result that stands, ours or an earlier one
     * @throws FENCED when the epoch has moved on and nobody has brought a result
     */
    async store<Result>(
      key: StepKey,
      { machineId, epoch }: { machineId: string; epoch: number },
      result: Result,
    ): Promise<Result> {
      const inserted = await sql`
        insert into step_results (work_id, step, machine_id, epoch, result)
        select ${key.workId}, ${key.step}, id, ${epoch}::bigint, ${JSON.stringify(result)}::jsonb
        from machines where id = ${machineId} and epoch = ${epoch} for share
        on conflict (work_id, step) do nothing`.execute(db);
      if (inserted.numAffectedRows === 1n) return result;
      const standing = await read<Result>(key);
      if (standing !== undefined) return standing;
      throw new DomainError(
        'FENCED',
        `${machineId} worked under epoch ${epoch}, which has passed; its result of ${key.workId} was not stored`,
      );
    },
  };
}
export type StepResultStore = ReturnType<typeof createStepResultStore>;
