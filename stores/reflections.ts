import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { depthOf, type DropKind, importanceOf, type Insight, type RefusedInsight } from '../domain/reflections.ts';
import { forgottenMark, type ReflectionStep, type RunCall } from '../domain/run-steps.ts';
import { expectationRuns, expectedTokens } from '../domain/sweeps.ts';
import type { Database, Executor } from './database.ts';
import { newId } from './ids.ts';
import { askForMissedRuns, subtractImportance } from './importance.ts';
import { vectorOf } from './memory-columns.ts';
import { insertMemoryRows } from './memory-rows.ts';
import { endRun, lockAgentOf, type RunTook } from './runs.ts';

export interface StoredReflections {
  state: 'done' | 'empty' | 'ended';
  reflections: number;
  /** Of the run; there where this call has ended it. */
  degraded?: boolean;
}

export interface Completion {
  runId: string;
  step: ReflectionStep;
  /** Places of insights that say what an earlier reflection, or one before them, says. */
  repeated: readonly number[];
  /** Reflections may lie so deep. */
  mostDepth: number;
}

/** A reflection that the agent has, to be held against new ones. */
export interface EarlierReflection {
  text: string;
  /** Of the model asked for; undefined where it has none yet. */
  vector: Float32Array | undefined;
}

/** Rows read at a time: what is read must not stand in memory all at once. */
const page = 1_000;

export function createReflectionStore(db: Database) {
  return {
    /** The agent's living reflections, page by page. */
    async *earlier(input: {
      ownerId: string;
      agentId: string;
      model: string | undefined;
    }): AsyncGenerator<EarlierReflection[]> {
      let after = 0;
      for (;;) {
        const { rows } = await sql<{ seq: number; text: string; vector: Buffer | null }>`
          select m.seq, m.text, e.vector from memories m
          left join embeddings e on e.owner_id = m.owner_id and e.model = ${input.model ?? null} and e.content_hash = m.content_hash
          where m.agent_id = ${input.agentId} and m.owner_id = ${input.ownerId} and m.kind = 'reflection' and m.seq > ${after}
            and m.deleted_at is null and m.superseded_at is null
          order by m.seq limit ${page}`.execute(db);
        if (rows.length === 0) return;
        yield rows.map(({ text, vector }) => ({ text, vector: vector ? vectorOf(vector) : undefined }));
        after = rows.at(-1)!.seq;
      }
    },

    /**
     * One transaction: the reflections as memories of the agent's own, with their evidence and the calls they came of; the
     * agent's place in its memories by compare-and-set; what the run took, and its end. Evidence is checked again here:
     * the agent's own, shown by the very call, not forgotten since. A run that has ended already is left alone, so a
     * second execution changes nothing.
     */
    async complete({ runId, step, repeated, mostDepth }: Completion): Promise<StoredReflections> {
      return db.transaction().execute(async (tx) => {
        const run = await lockedRun(tx, runId);
        if (run.state === 'done' || run.state === 'empty') return { state: run.state, reflections: run.reflections };
        if (run.state === 'failed' || run.state === 'canceled') return { state: 'ended', reflections: 0 };
        await moveReflectedTo(tx, run.agentId, run.fromSeq, run.toSeq);
        const { kept, refused, tainted } = await sorted(tx, run.agentId, step, new Set(repeated), mostDepth);
        await insertCalls(tx, runId, tainted ? step.calls.map(withoutQuestion) : step.calls);
        await insertReflections(tx, run, step.calls, kept);
        // Who concludes what was concluded before has reflected, too.
        const repeats = refused.some(({ kind }) => kind === 'duplicates');
        const state = kept.length > 0 || repeats ? 'done' : 'empty';
        const ended = await endRun(
          tx,
          runId,
          state,
          reasonOf(step, kept.length, refused),
          took(step, kept.length, refused),
        );
        await subtractImportance(tx, runId);
        await askForMissedRuns(tx, [runId]);
        await updateExpectation(tx, run.agentId);
        return { state, reflections: kept.length, ...(ended && { degraded: ended.degraded }) };
      });
    },
  };
}
export type ReflectionStore = ReturnType<typeof createReflectionStore>;

interface LockedRun {
  id: string;
  ownerId: string;
  agentId: string;
  state: string;
  reflections: number;
  fromSeq: number;
  toSeq: number;
  wantedModelId: string;
}

interface Kept extends Insight {
  call: number;
  depth: number;
  importance: number;
}

async function lockedRun(tx: Executor, runId: string): Promise<LockedRun> {
  if (!(await lockAgentOf(tx, runId))) throw new DomainError('NOT_FOUND', `no run ${runId}`);
  const run = await tx
    .selectFrom('runs')
    .select(['id', 'ownerId', 'agentId', 'state', 'reflections', 'fromSeq', 'toSeq', 'wantedModelId'])
    .where('id', '=', runId)
    .forUpdate()
    .executeTakeFirstOrThrow();
  if (run.fromSeq === null || run.toSeq === null) throw new DomainError('NOT_FOUND', `no begun run ${runId}`);
  return { ...run, fromSeq: run.fromSeq, toSeq: run.toSeq };
}

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

/** Which insights are stored, and why the others are not. */
async function sorted(
  tx: Executor,
  agentId: string,
  step: ReflectionStep,
  repeated: ReadonlySet<number>,
  mostDepth: number,
): Promise<{ kept: Kept[]; refused: RefusedInsight[]; tainted: boolean }> {
  const shownBy = step.calls.map(({ prompt }) => new Set(prompt.shown.map(({ memoryId }) => memoryId)));
  const shown = [...new Set(shownBy.flatMap((ids) => [...ids]))];
  const rows =
    shown.length === 0
      ? []
      : await tx
          .selectFrom('memories')
          .select(['id', 'depth', 'importance'])
          .select(sql<boolean>`text = ''`.as('forgotten'))
          .where('agentId', '=', agentId)
          .where('id', 'in', shown)
          .execute();
  const memories = new Map(rows.map((row) => [row.id, row]));
  // Whatever was written after it was shown may tell it: also the questions, and what was asked for by them.
  const tainted = shown.some((id) => memories.get(id)?.forgotten);
  const kept: Kept[] = [];
  const refused = [...step.refused];
  for (const [place, { text, evidence, call }] of step.insights.entries()) {
    const refuse = (kind: DropKind, reason: string) => refused.push({ kind, reason });
    const held = evidence.flatMap((id) => (shownBy[call]!.has(id) ? (memories.get(id) ?? []) : []));
    const depth = held.length === 0 ? 0 : depthOf(held.map((memory) => memory.depth));
    if (tainted) refuse('other', 'a memory that the run had read was forgotten');
    else if (repeated.has(place)) refuse('duplicates', 'says the same as an earlier reflection');
    else if (held.length === 0) refuse('withoutEvidence', 'names no memory that was given');
    else if (depth > mostDepth) refuse('tooDeep', `would lie ${depth} deep, over ${mostDepth}`);
    else {
      const importance = importanceOf(held.map((memory) => memory.importance));
      kept.push({ text, evidence: held.map(({ id }) => id), call, depth, importance });
    }
  }
  return { kept, refused, tainted };
}

function withoutQuestion(call: RunCall): RunCall {
  const { prompt } = call;
  return prompt.question === null ? call : { ...call, prompt: { ...prompt, question: forgottenMark } };
}

async function insertCalls(tx: Executor, runId: string, calls: readonly RunCall[]): Promise<void> {
  if (calls.length === 0) return;
  await tx
    .insertInto('runCalls')
    .values(calls.map((call, ordinal) => ({ ...call, runId, ordinal, prompt: JSON.stringify(call.prompt) })))
    .execute();
}

async function insertReflections(
  tx: Executor,
  run: LockedRun,
  calls: readonly RunCall[],
  kept: readonly Kept[],
): Promise<void> {
  if (kept.length === 0) return;
  const { ownerId, agentId } = run;
  const counted = await tx
    .updateTable('agents')
    .set({
      memorySeq: sql<number>`memory_seq + ${kept.length}::int`,
      memoryRev: sql<number>`memory_rev + ${kept.length}::int`,
    })
    .where('id', '=', agentId)
    .returning(['memorySeq', 'memoryRev', sql<Date>`now()`.as('now')])
    .executeTakeFirstOrThrow();
  const rows = kept.map((insight, ordinal) => ({
    ...insight,
    ordinal,
    id: newId('reflection'),
    memoryId: newId('memory'),
    seq: counted.memorySeq - kept.length + 1 + ordinal,
    rev: counted.memoryRev - kept.length + 1 + ordinal,
  }));
  await insertMemoryRows(
    tx,
    rows.map(({ id, memoryId, seq, rev, text, importance, depth }) => ({
      id: memoryId,
      ownerId,
      agentId,
      seq,
      rev,
      kind: 'reflection' as const,
      text,
      importance,
      source: 'reflection',
      externalKey: id,
      occurredAt: counted.now.toISOString(),
      depth,
    })),
  );
  await tx
    .insertInto('reflections')
    .values(
      rows.map(({ id, memoryId, ordinal, text, call }) => {
        const { modelId, source, promptVersion, seed, machineId, tokens, seconds } = calls[call]!;
        const made = { modelId, source, promptVersion, seed, machineId, tokens, seconds };
        const degraded = modelId !== run.wantedModelId;
        return { id, ownerId, agentId, runId: run.id, ordinal, text, memoryId, call, degraded, ...made };
      }),
    )
    .execute();
  await tx
    .insertInto('reflectionEvidence')
    .values(
      rows.flatMap(({ id, evidence }) =>
        evidence.map((memoryId, ordinal) => ({ reflectionId: id, ordinal, memoryId })),
      ),
    )
    .execute();
}

function reasonOf(step: ReflectionStep, kept: number, refused: readonly RefusedInsight[]): string {
  if (step.calls.length === 0) return 'what was new was deleted';
  const repeat = refused.find(({ kind }) => kind === 'duplicates');
  if (kept === 0 && repeat) return `nothing new (${repeat.reason})`;
  if (kept === 0) return `no insight was kept${refused[0] ? ` (${refused[0].reason})` : ''}`;
  return step.unread === 0 ? '' : `${step.unread} memories did not fit the context`;
}

function took(step: ReflectionStep, kept: number, refused: readonly RefusedInsight[]): Partial<RunTook> {
  const dropped = (kind: DropKind) => refused.filter((each) => each.kind === kind).length;
  // Results brought over from 0.1.0 do not say.
  const prompts = step.calls.map(({ promptTokens }) => promptTokens ?? null);
  return {
    reflections: kept,
    tokens: step.tokens,
    // What one call does not tell, all of them together do not either.
    promptTokens: prompts.includes(null) ? null : prompts.reduce<number>((sum, each) => sum + each!, 0),
    modelCalls: step.calls.reduce((sum, { modelCalls }) => sum + modelCalls, 0),
    ...(step.calls.length === 0 ? {} : { machineId: step.calls.at(-1)!.machineId }),
    droppedDuplicates: dropped('duplicates'),
    droppedEmpty: dropped('empty'),
    droppedWithoutEvidence: dropped('withoutEvidence'),
    droppedTooDeep: dropped('tooDeep'),
    droppedOther: dropped('other'),
    droppedEvidence: step.droppedEvidence,
  };
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
