import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { acceptInsights, type ReflectionOutcome } from '../domain/reflections.ts';
import { expectationRuns, expectedTokens } from '../domain/sweeps.ts';
import type { Database, Executor } from './database.ts';
import { newId } from './ids.ts';
import { endRun } from './runs.ts';

/** What an inference attempt stores as its step's result. */
export interface ReflectionStep extends ReflectionOutcome {
  modelId: string;
  machineId: string;
  seconds: number;
}

export interface StoredReflections {
  state: 'done' | 'empty' | 'ended';
  reflections: number;
}

export function createReflectionStore(db: Database) {
  return {
    /**
     * One transaction: the reflections with their evidence, the agent's place in its memories by compare-and-set, what
     * the run took, and the run's end. Evidence is checked again here against the run's own memories. A run that has
     * ended already is left alone, so a second execution changes nothing.
     */
    async complete(runId: string, step: ReflectionStep): Promise<StoredReflections> {
      return db.transaction().execute(async (tx) => {
        const run = await tx
          .selectFrom('runs')
          .select(['id', 'ownerId', 'agentId', 'state', 'reflections', 'fromSeq', 'toSeq', 'degraded'])
          .where('id', '=', runId)
          .forUpdate()
          .executeTakeFirst();
        if (!run || run.fromSeq === null || run.toSeq === null)
          throw new DomainError('NOT_FOUND', `no begun run ${runId}`);
        if (run.state === 'done' || run.state === 'empty') return { state: run.state, reflections: run.reflections };
        if (run.state === 'failed' || run.state === 'canceled') return { state: 'ended', reflections: 0 };

        await moveReflectedTo(tx, run.agentId, run.fromSeq, run.toSeq);
        const memories = await tx
          .selectFrom('memories')
          .select('id')
          .where('agentId', '=', run.agentId)
          .where('seq', '>', run.fromSeq)
          .where('seq', '<=', run.toSeq)
          .execute();
        const { accepted, refused } = acceptInsights(
          { insights: step.insights },
          memories.map((memory) => memory.id),
        );
        const refusals = [...step.refused, ...refused];
        const ids = accepted.map(() => newId('reflection'));
        if (accepted.length > 0) {
          await tx
            .insertInto('reflections')
            .values(
              accepted.map((insight, ordinal) => ({
                id: ids[ordinal]!,
                ownerId: run.ownerId,
                agentId: run.agentId,
                runId,
                ordinal,
                text: insight.text,
                modelId: step.modelId,
                source: step.source,
                promptVersion: step.promptVersion,
                degraded: run.degraded,
                machineId: step.machineId,
                tokens: step.tokens,
                seconds: step.seconds,
              })),
            )
            .execute();
          await tx
            .insertInto('reflectionEvidence')
            .values(
              accepted.flatMap((insight, i) =>
                insight.evidence.map((memoryId, ordinal) => ({ reflectionId: ids[i]!, ordinal, memoryId })),
              ),
            )
            .execute();
        }
        const state = accepted.length > 0 ? 'done' : 'empty';
        const unread = step.left.length === 0 ? '' : `${step.left.length} memories did not fit the context`;
        const reason =
          accepted.length > 0
            ? unread
            : `no insight with valid evidence${refusals[0] ? ` (${refusals[0].reason})` : ''}`;
        await endRun(tx, runId, state, reason, {
          reflections: accepted.length,
          tokens: step.tokens,
          machineId: step.machineId,
        });
        await updateExpectation(tx, run.agentId);
        return { state, reflections: accepted.length };
      });
    },
  };
}
export type ReflectionStore = ReturnType<typeof createReflectionStore>;

async function moveReflectedTo(tx: Executor, agentId: string, fromSeq: number, toSeq: number): Promise<void> {
  const moved = await tx
    .updateTable('agents')
    .set({ reflectedToSeq: toSeq })
    .where('id', '=', agentId)
    .where('reflectedToSeq', '>=', fromSeq)
    .where('reflectedToSeq', '<=', toSeq)
    .executeTakeFirst();
  if (moved.numUpdatedRows !== 1n) {
    throw new DomainError('CONFLICT', `${agentId} has been reflected past memory ${toSeq} by another run`);
  }
}

async function updateExpectation(tx: Executor, agentId: string): Promise<void> {
  const { rows } = await sql<{ tokens: number }>`
    select tokens from runs where agent_id = ${agentId} and state in ('done', 'empty') and tokens is not null
    order by created_at desc limit ${expectationRuns}`.execute(tx);
  const expected = expectedTokens(
    rows.map((row) => row.tokens),
    0,
  );
  if (expected > 0)
    await tx.updateTable('agents').set({ expectedTokens: expected }).where('id', '=', agentId).execute();
}
