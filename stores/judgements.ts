import { sql } from 'kysely';
import { judgementLimits, type JudgementSample, scoresOf } from '../domain/consistency.ts';
import { judgeWorkflowId } from '../domain/ids.ts';
import type { JudgementState } from '../domain/consistency.ts';
import type { Database } from './database.ts';
import { insertIntent } from './intents.ts';
import { takeLock } from './locks.ts';
import { lastOutputs, outputTexts } from './outputs.ts';

export interface OpenJudgement {
  ratingId: string;
  agentId: string;
  /** The agent's own model: judged by the model that speaks. */
  modelId: string;
  samples: number;
}

/** What a judge is shown. */
export interface JudgedAgent {
  agentId: string;
  name: string;
  persona: string;
  traits: string[];
  /** By time; what was taken away since is left out. */
  lines: string[];
}

export interface AskedJudgements {
  ownerId: string;
  period: string;
  most: number;
  /** How often each judgement is asked for. */
  samples: number;
}

export function createJudgementStore(db: Database) {
  return {
    /**
     * Asks, once all agents of a period are rated, for judgements of those that drift: the furthest first, no more than
     * `most`. What was asked for stays, so that a second execution adds nothing.
     * @returns how many are asked for
     */
    async ask({ ownerId, period, most, samples }: AskedJudgements): Promise<number> {
      return db.transaction().execute(async (tx) => {
        await takeLock(tx, 'judgements', ownerId);
        const { rows } = await sql<{ count: number }>`
          select count(*) from drift_judgements where owner_id = ${ownerId} and period = ${period}`.execute(tx);
        const asked = rows[0]!.count;
        if (asked > 0) return asked;
        const furthest = await tx
          .selectFrom('driftRatings')
          .select(['id', 'agentId'])
          .where('ownerId', '=', ownerId)
          .where('period', '=', period)
          .where('state', '<>', 'calm')
          .orderBy('z', (order) => order.desc().nullsLast())
          .orderBy('id')
          .limit(most)
          .execute();
        const said = await lastOutputs(
          tx,
          furthest.map(({ agentId }) => agentId),
          judgementLimits.lines,
        );
        for (const { id: ratingId, agentId } of furthest) {
          const outputs = said.flatMap((output) => (output.agentId === agentId ? [output.id] : [])).toReversed();
          await tx
            .insertInto('driftJudgements')
            .values({ ratingId, ownerId, agentId, period, outputs, samples })
            .execute();
          await insertIntent(tx, { workflowId: judgeWorkflowId(ratingId), type: 'judgeDrift', args: [{ ratingId }] });
        }
        return furthest.length;
      });
    },

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
        .select(['agents.id as agentId', 'agents.ownerId', 'name', 'persona', 'traits', 'outputs'])
        .where('ratingId', '=', ratingId)
        .executeTakeFirst();
      if (!row) return undefined;
      const texts = await outputTexts(db, row.ownerId, row.outputs);
      return {
        agentId: row.agentId,
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
