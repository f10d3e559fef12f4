import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { z } from 'zod';
import { DomainError, type ErrorCode, type FieldError } from '../domain/errors.ts';
import { slugSchema } from '../domain/ids.ts';
import { memoryKinds } from '../domain/states.ts';
import type { MemoryStore, NewMemory } from '../stores/memories.ts';
import { jsonLines } from './lines.ts';
import { bodyLimit, invalidInput } from './plugins/bodies.ts';
import { textSchema } from './schemas.ts';

const batchLines = 1_000;
const batchCharacters = 4 * 1024 * 1024;
/** Errors told one by one; further ones are counted. */
const mostErrors = 200;

/** What the sender gives; the rest is filled in. */
export const memoryBody = z.strictObject({
  text: textSchema(8_000),
  kind: z.enum(memoryKinds).default('observation'),
  importance: z.int().min(1).max(10).default(5),
  source: textSchema(120).default('api'),
  occurredAt: z.iso
    .datetime({ offset: true })
    .refine((at) => at >= '1000', { error: 'must be in a year from 1000 on' })
    .optional()
    .describe('ISO 8601; default: now'),
  externalKey: textSchema(200).optional().describe('The sender’s own id: what comes again under it is not added twice'),
});
const memoryLine = memoryBody.extend({ agentId: slugSchema });

export interface LineError {
  line: number;
  code: ErrorCode;
  detail: string;
  errors?: FieldError[];
}

export interface ImportResult {
  added: number;
  /** Came before under the same key. */
  known: number;
  refused: number;
  errors: LineError[];
  errorsLeftOut: number;
}

/** Without a key of the sender's, the same text at the same time is the same memory. */
export function newMemory(agentId: string, body: z.output<typeof memoryBody>, now: Date): NewMemory {
  const { text, kind, importance, source } = body;
  const occurredAt = body.occurredAt ?? now.toISOString();
  const externalKey =
    body.externalKey ?? `sha256:${createHash('sha256').update(`${text}\0${occurredAt}`).digest('hex')}`;
  return { agentId, externalKey, kind, text, importance, source, occurredAt };
}

/**
 * Adds a stream of memories, a batch a transaction. Good lines go in, each bad one is told with its number; what is
 * sent again after a broken connection adds nothing twice.
 */
export async function importMemories(
  stream: Readable,
  deps: {
    add: MemoryStore['add'];
    ownerId: string;
  },
): Promise<ImportResult> {
  const result: ImportResult = { added: 0, known: 0, refused: 0, errors: [], errorsLeftOut: 0 };
  const refuse = (line: number, err: DomainError) => {
    result.refused += 1;
    if (result.errors.length >= mostErrors) {
      result.errorsLeftOut += 1;
      return;
    }
    const fields = err.fields.length > 0 ? { errors: [...err.fields] } : {};
    result.errors.push({ line, code: err.code, detail: err.message, ...fields });
  };

  let batch: Array<{ line: number; memory: NewMemory }> = [];
  let characters = 0;
  const flush = async () => {
    if (batch.length === 0) return;
    const { added, known, unknown } = await deps.add(
      deps.ownerId,
      batch.map(({ memory }) => memory),
    );
    result.added += added;
    result.known += known;
    const missing = new Set(unknown);
    for (const { line, memory } of batch) {
      if (missing.has(memory.agentId)) refuse(line, new DomainError('NOT_FOUND', `no agent ${memory.agentId}`));
    }
    batch = [];
    characters = 0;
  };

  for await (const { line, value } of jsonLines(stream, bodyLimit)) {
    if ('error' in value) {
      refuse(line, value.error);
      continue;
    }
    const parsed = memoryLine.safeParse(value.json);
    if (!parsed.success) {
      refuse(line, invalidInput(parsed.error, value.json, memoryLine));
      continue;
    }
    const { agentId, ...body } = parsed.data;
    batch.push({ line, memory: newMemory(agentId, body, new Date()) });
    characters += body.text.length;
    if (batch.length >= batchLines || characters >= batchCharacters) await flush();
  }
  await flush();
  result.errors.sort((a, b) => a.line - b.line);
  return result;
}

/** A stream of which nothing could be used is refused like a bad body. */
export function refuseIfNothingGood({ added, known, refused, errors }: ImportResult): void {
  const [first] = errors;
  if (first === undefined || added + known > 0 || refused === 0) return;
  const fields = errors.map(({ line, code, detail }) => ({
    path: `line ${line}`,
    rule: `${code}: ${detail}`,
    mend: 'Mend the line and send it again.',
  }));
  throw new DomainError(first.code, `no line could be used; line ${first.line}: ${first.detail}`, { fields });
}
