import type { ReflectionSource } from '../../domain/reflections.ts';
import type { Executor } from '../database.ts';
import { iso, type PageRequest } from './page.ts';

export interface ReflectionView {
  id: string;
  agentId: string;
  agentName: string;
  /** Null for an imported one. */
  runId: string | null;
  ordinal: number;
  text: string;
  modelId: string;
  /** `extractive` quotes memories, no model was used; `import`: made elsewhere, as it was told. */
  source: ReflectionSource | 'import';
  promptVersion: string;
  /** Null without a model. */
  seed: number | null;
  /** 1 over what was lived; one above the deepest reflection it rests on. */
  depth: number;
  /** The memory that it is to the agent. */
  memoryId: string;
  degraded: boolean;
  machineId: string | null;
  tokens: number;
  seconds: number;
  /** How many memories it rests on. */
  memories: number;
  createdAt: string;
}

export interface EvidenceView {
  memoryId: string;
  seq: number;
  text: string;
  /** 0: lived. */
  depth: number;
  importance: number;
  occurredAt: string;
}

export interface ReflectionDetail extends ReflectionView {
  evidence: EvidenceView[];
}

function reflectionQuery(db: Executor, ownerId: string) {
  return db
    .selectFrom('reflections')
    .innerJoin('agents', 'agents.id', 'reflections.agentId')
    .innerJoin('memories as own', 'own.id', 'reflections.memoryId')
    .where('reflections.ownerId', '=', ownerId)
    .selectAll('reflections')
    .select(['agents.name as agentName', 'own.depth'])
    .select((eb) =>
      eb
        .selectFrom('reflectionEvidence')
        .select((count) => count.fn.countAll<number>().as('memories'))
        .whereRef('reflectionId', '=', 'reflections.id')
        .as('memories'),
    );
}
type ReflectionRow = Awaited<ReturnType<ReturnType<typeof reflectionQuery>['execute']>>[number];

function reflectionView({ ownerId: _owner, call: _call, ...row }: ReflectionRow): ReflectionView {
  return {
    ...row,
    source: row.source as ReflectionView['source'],
    memories: row.memories ?? 0,
    createdAt: iso(row.createdAt),
  };
}

/** The last made first. */
export async function listReflections(
  db: Executor,
  page: PageRequest & { agentId?: string | undefined; runId?: string | undefined },
): Promise<ReflectionView[]> {
  let query = reflectionQuery(db, page.ownerId);
  if (page.after !== undefined) query = query.where('reflections.id', '<', page.after);
  if (page.agentId !== undefined) query = query.where('reflections.agentId', '=', page.agentId);
  if (page.runId !== undefined) query = query.where('reflections.runId', '=', page.runId);
  const rows = await query.orderBy('reflections.id', 'desc').limit(page.limit).execute();
  return rows.map(reflectionView);
}

export async function findReflection(db: Executor, ownerId: string, id: string): Promise<ReflectionDetail | undefined> {
  const row = await reflectionQuery(db, ownerId).where('reflections.id', '=', id).executeTakeFirst();
  if (!row) return undefined;
  const evidence = await db
    .selectFrom('reflectionEvidence')
    .innerJoin('memories', 'memories.id', 'reflectionEvidence.memoryId')
    .select(['memoryId', 'seq', 'text', 'depth', 'importance', 'occurredAt'])
    .where('reflectionId', '=', id)
    .orderBy('ordinal')
    .execute();
  return {
    ...reflectionView(row),
    evidence: evidence.map((memory) => ({ ...memory, occurredAt: iso(memory.occurredAt) })),
  };
}
