import { sql } from 'kysely';
import { memoryFormat, memoryFormatVersion, type WrittenMemoryLine } from '../../domain/memory-lines.ts';
import type { MemoryKind } from '../../domain/states.ts';
import type { Database } from '../database.ts';

const page = 500;

export interface ExportRow {
  seq: number;
  kind: MemoryKind;
  text: string;
  importance: number;
  source: string;
  externalKey: string;
  occurredAt: Date;
  recordedAt: Date;
  validTo: Date | null;
  supersededAt: Date | null;
  supersededBy: string | null;
  deletedAt: Date | null;
  deletedReason: string | null;
  lastUsedAt: Date | null;
  depth: number;
  modelId: string | null;
  promptVersion: string | null;
  evidence: string[];
}

/**
 * Everything an agent remembers as JSON lines, each with its line end, read page by page. A memory comes before what rests
 * on it and before what took its place, so nothing that is told points behind the last line, whatever is added meanwhile.
 */
export async function* exportedLines(
  db: Database,
  { ownerId, agent, now }: { ownerId: string; agent: { id: string; name: string }; now: Date },
): AsyncGenerator<string> {
  const agentId = agent.id;
  let lines = 0;
  yield text({
    type: 'header',
    format: memoryFormat,
    version: memoryFormatVersion,
    agentId,
    name: agent.name,
    exportedAt: now.toISOString(),
  });
  for (let after = 0; ; ) {
    const rows = await pageAfter(db, ownerId, agentId, after);
    for (const row of rows) yield text(lineOf(agentId, row));
    lines += rows.length;
    const last = rows.at(-1);
    if (last === undefined || rows.length < page) break;
    after = last.seq;
  }
  yield text({ type: 'end', lines });
}

/** The same rows, all together: what is written by number needs to know what is left out. */
export async function exportedRows(db: Database, ownerId: string, agentId: string): Promise<ExportRow[]> {
  const all: ExportRow[] = [];
  for (;;) {
    const rows = await pageAfter(db, ownerId, agentId, all.at(-1)?.seq ?? 0);
    all.push(...rows);
    if (rows.length < page) return all;
  }
}

async function pageAfter(db: Database, ownerId: string, agentId: string, after: number): Promise<ExportRow[]> {
  const { rows } = await sql<ExportRow>`
    select m.seq, m.kind, m.text, m.importance, m.source, m.external_key, m.occurred_at, m.recorded_at, m.valid_to,
      m.superseded_at, successor.external_key as superseded_by, m.deleted_at, m.deleted_reason, m.last_used_at, m.depth,
      r.model_id, r.prompt_version,
      array(select e.external_key from reflection_evidence re join memories e on e.id = re.memory_id
        where re.reflection_id = r.id order by re.ordinal) as evidence
    from memories m
    left join memories successor on successor.id = m.superseded_by
    left join reflections r on r.memory_id = m.id
    where m.owner_id = ${ownerId} and m.agent_id = ${agentId} and m.seq > ${after}
    order by m.seq limit ${page}`.execute(db);
  return rows;
}

function lineOf(agentId: string, row: ExportRow): WrittenMemoryLine {
  const told = {
    agentId,
    importance: row.importance,
    source: row.source,
    externalKey: row.externalKey,
    occurredAt: row.occurredAt.toISOString(),
    recordedAt: row.recordedAt.toISOString(),
    ...(row.validTo && { validTo: row.validTo.toISOString() }),
    ...(row.supersededBy !== null && { supersededBy: row.supersededBy }),
    ...(row.supersededAt && { supersededAt: row.supersededAt.toISOString() }),
    ...(row.deletedAt && { deletedAt: row.deletedAt.toISOString(), deletedReason: row.deletedReason ?? '' }),
    ...(row.lastUsedAt && { lastUsedAt: row.lastUsedAt.toISOString() }),
  };
  if (row.text === '') return { type: 'memory', forgotten: true, kind: row.kind, ...told };
  if (row.evidence.length === 0) return { type: 'memory', kind: row.kind, text: row.text, ...told };
  return {
    type: 'reflection',
    text: row.text,
    ...told,
    evidence: row.evidence,
    depth: row.depth,
    ...(row.modelId !== null && row.modelId !== '' && { model: row.modelId }),
    ...(row.promptVersion !== null && row.promptVersion !== '' && { promptVersion: row.promptVersion }),
  };
}

function text(line: WrittenMemoryLine): string {
  return `${JSON.stringify(line)}\n`;
}
