import { sql } from 'kysely';
import { type JudgementSample, scoresOf } from '../domain/consistency.ts';
import { judgeWorkflowId } from '../domain/ids.ts';
import type { JudgementState } from '../domain/consistency.ts';
import type { Database, Executor } from './database.ts';
import { insertIntent } from './intents.ts';
import { outputTexts } from './outputs.ts';

export interface OpenJudgement {
  ratingId: string;
  agentId: string;
  /** The agent's own model: judged by the model that speaks. */
  modelId: string;
  samples: number;
}

/** What a judge is shown. */
export interface JudgedAgent {
  name: string;
  persona: string;
  traits: string[];
  /** By time; what was taken away since is left out. */
  lines: string[];
}

export interface AskedJudgement {
  ratingId: string;
  agentId: string;
  outputs: readonly string[];
}

/**
 * Asks for judgements of flagged agents in the transaction that flags them, no more than `most` a period: the furthest
 * first, as they are given.
 */
export async function askJudgements(
  tx: Executor,
  asked: readonly AskedJudgement[],
  { ownerId, period, most, samples }: { ownerId: string; period: string; most: number; samples: number },
): Promise<void> {
  if (asked.length === 0) return;
  const { rows } = await sql<{ count: number }>`
    select count(*) from drift_judgements where owner_id = ${ownerId} and period = ${period}`.execute(tx);
  const chosen = asked.slice(0, Math.max(0, most - rows[0]!.count));
  for (const { ratingId, agentId, outputs } of chosen) {
    await tx
      .insertInto('driftJudgements')
      .values({ ratingId, ownerId, agentId, period, outputs: [...outputs], samples })
      .execute();
    await insertIntent(tx, { workflowId: judgeWorkflowId(ratingId), type: 'judgeDrift', args: [{ ratingId }] });
  }
}

export function createJudgementStore(db: Database) {
  return {
    /** Undefined where it has ended, or its rating has outlived its retention. */
    async open(ratingId: string): Promise<OpenJudgement | undefined> {
      return db
        .selectFrom('driftJudgements')
        .innerJoin('agents', 'agents.id', 'driftJudgements.agentId')
        .select(['ratingId', 'agentId', 'samples', 'agents.modelId as modelId'])
        .where('ratingId', '=', ratingId)
        .where('driftJudgements.state', '=', 'pending')
        .executeTakeFirst();
    },

    async judged(ratingId: string): Promise<JudgedAgent | undefined> {
      const row = await db
        .selectFrom('driftJudgements')
        .innerJoin('agents', 'agents.id', 'driftJudgements.agentId')
        .select(['agents.ownerId', 'name', 'persona', 'traits', 'outputs'])
        .where('ratingId', '=', ratingId)
        .executeTakeFirst();
      if (!row) return undefined;
      const texts = await outputTexts(db, row.ownerId, row.outputs);
      return {
        name: row.name,
        persona: row.persona,
        traits: row.traits,
        lines: row.outputs.flatMap((id) => texts.get(id)?.text ?? []),
      };
    },

    /**
     * Ends a judgement with what its samples came to; with fewer than asked for it is none, and `reason` says why. One that
     * has ended stays as it is.
     */
    async end(ratingId: string, reason: string): Promise<JudgementState> {
      return db.transaction().execute(async (tx) => {
        const row = await tx
          .selectFrom('driftJudgements')
          .select(['state', 'samples'])
          .where('ratingId', '=', ratingId)
          .forUpdate()
          .executeTakeFirst();
        if (!row) return 'none';
        if (row.state !== 'pending') return row.state as JudgementState;
        const steps = await tx
          .selectFrom('stepResults')
          .select('result')
          .where('workId', '=', ratingId)
          .orderBy('step')
          .execute();
        const samples = steps.map(({ result }) => result as unknown as JudgementSample);
        const scores = scoresOf(samples, row.samples);
        const state = scores ? 'done' : 'none';
        await tx
          .updateTable('driftJudgements')
          .set({
            state,
            scores: scores ? JSON.stringify(scores) : null,
            modelId: samples[0]?.modelId ?? null,
            promptVersion: samples[0]?.promptVersion ?? null,
            tokens: samples.reduce((sum, { tokens }) => sum + tokens, 0),
            reason: scores ? '' : reason === '' ? 'too few samples' : reason,
            endedAt: sql<Date>`now()`,
          })
          .where('ratingId', '=', ratingId)
          .execute();
        return state;
      });
    },
  };
}
export type JudgementStore = ReturnType<typeof createJudgementStore>;
