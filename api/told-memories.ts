import { createHash } from 'node:crypto';
import { type MemoryBody, refuseFuture, type TellingLine } from '../domain/memory-lines.ts';
import type { NewMemory } from '../stores/memories.ts';

/** Without a key of the sender's, the same text at the same time is the same memory. */
export function newMemory(agentId: string, body: MemoryBody, now: Date): NewMemory {
  refuseFuture(body, now);
  return memoryOf(agentId, { ...body, occurredAt: body.occurredAt ?? now.toISOString() }, now);
}

function memoryOf(agentId: string, body: MemoryBody, now: Date): NewMemory {
  const { text, kind, importance, source } = body;
  const externalKey =
    body.externalKey ??
    `sha256:${createHash('sha256')
      .update(`${text}\0${body.occurredAt ?? ''}`)
      .digest('hex')}`;
  return {
    agentId,
    externalKey,
    kind,
    text,
    importance,
    source,
    occurredAt: iso(body.occurredAt) ?? now.toISOString(),
  };
}

/** Postgres knows fewer zones than ISO 8601 has. */
function iso(at: string | undefined): string | undefined {
  return at === undefined ? undefined : new Date(at).toISOString();
}

/** A line of a file as a memory of the agent. @throws INVALID_INPUT where it tells of what is to come */
export function toldMemory(agentId: string, line: TellingLine, now: Date): NewMemory {
  refuseFuture(line, now);
  const forgotten = 'forgotten' in line;
  const supersededAt = iso(line.supersededAt) ?? (line.supersededBy === undefined ? undefined : now.toISOString());
  const kind = line.type === 'reflection' ? line.type : line.kind;
  return {
    ...memoryOf(agentId, { ...line, text: forgotten ? '' : line.text, kind }, now),
    past: {
      validTo: iso(line.validTo),
      supersededAt,
      deleted:
        line.deletedAt === undefined ? undefined : { at: iso(line.deletedAt)!, reason: line.deletedReason ?? '' },
      lastUsedAt: iso(line.lastUsedAt),
      forgotten,
    },
    ...(line.type === 'reflection'
      ? {
          reflection: {
            evidence: [...new Set(line.evidence)],
            modelId: line.model ?? '',
            promptVersion: line.promptVersion ?? '',
          },
        }
      : {}),
  };
}
