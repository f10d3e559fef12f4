import { sql } from 'kysely';
import type { ReflectableMemory } from '../../domain/reflections.ts';
import type { CallPrompt } from '../../domain/run-steps.ts';
import type { Executor } from '../database.ts';
import { iso } from './page.ts';

/** The call that a reflection came of. */
export interface CallView {
  step: string;
  modelId: string;
  machineId: string;
  promptVersion: string;
  seed: number | null;
  modelCalls: number;
  tokens: number;
  promptTokens: number | null;
  seconds: number;
  prompt: CallPrompt;
}

/** @returns undefined for a reflection that was made before calls were kept */
export async function findCallOf(db: Executor, reflectionId: string): Promise<CallView | undefined> {
  const row = await db
    .selectFrom('runCalls')
    .innerJoin('reflections', (join) =>
      join.onRef('reflections.runId', '=', 'runCalls.runId').onRef('reflections.call', '=', 'runCalls.ordinal'),
    )
    .selectAll('runCalls')
    .where('reflections.id', '=', reflectionId)
    .executeTakeFirst();
  if (!row) return undefined;
  const { runId: _run, ordinal: _ordinal, source: _source, prompt, ...call } = row;
  return { ...call, prompt: prompt as unknown as CallPrompt };
}

/** Memories by id, also superseded and deleted ones; what was forgotten has an empty text. */
export async function shownMemories(db: Executor, ids: readonly string[]): Promise<Map<string, ReflectableMemory>> {
  if (ids.length === 0) return new Map();
  const rows = await db
    .selectFrom('memories')
    .select(['id', 'text', 'occurredAt', 'importance'])
    .select(sql<boolean>`kind = 'reflection'`.as('isReflection'))
    .where('id', 'in', [...ids])
    .execute();
  return new Map(rows.map((row) => [row.id, { ...row, occurredAt: iso(row.occurredAt) }]));
}
