import { createHash } from 'node:crypto';
import { DomainError, type FieldError, isDomainError } from '../../domain/errors.ts';
import { decodeUtf8, parseJsonText } from '../../domain/json-text.ts';
import { fieldError } from '../../domain/field-errors.ts';
import { readMemoryLine } from '../../domain/memory-lines.ts';
import type { LostField, MemoryImporter, ReadThing } from './importer.ts';
import { jsonMembers } from './json-members.ts';

const source = 'generative-agents';
const kinds = { event: 'observation', chat: 'conversation', thought: 'reflection' } as const;
const textChars = 8_000;
/** What that code stores where its model gave nothing. */
const placeholder = /^this is blank\.?$/i;

const lostReasons: Record<string, string> = {
  expiration: 'nothing of an agent’s memory runs out by itself here',
  subject: 'the description says it',
  predicate: 'the description says it',
  object: 'the description says it',
  keywords: 'the words of the text are searched',
  embedding_key: 'texts are embedded by the model of this fleet',
  depth: 'counted anew from the evidence',
  node_count: 'memories are numbered here',
  type_count: 'memories are numbered here',
};
const taken = new Set(['type', 'created', 'description', 'poignancy', 'filling']);

/** One node that can be read, under the key it has here. */
interface Node {
  number: number;
  line: number;
  at: string;
  key: string;
  kind: (typeof kinds)[keyof typeof kinds];
  text: string;
  occurredAt: string;
  importance: number;
  evidence: string[];
  notes: FieldError[];
}

/**
 * `associative_memory/nodes.json` of a persona of Generative Agents (Park et al. 2023). Its code saves the last node first
 * and all on one line; here the first comes first, so that evidence stands before what rests on it.
 */
export function generativeAgentsImporter({ fileLimit }: { fileLimit: number }): MemoryImporter {
  const lost = new Map<string, number>();
  return {
    mediaType: 'application/json',
    async *read(stream) {
      const file = await whole(stream, fileLimit);
      const nodes: Node[] = [];
      const seen = new Set<string>();
      let members = 0;
      for (const { line, key, value, whole: complete } of jsonMembers(file)) {
        members += 1;
        const at = key ?? '?';
        try {
          if (!complete) throw new DomainError('MALFORMED_BODY', 'the file ends or breaks off inside it');
          if (key !== undefined && seen.has(key))
            throw fieldError(key, 'stands twice in the file', 'Remove one of them.');
          seen.add(at);
          nodes.push(nodeOf(line, at, parseJsonText(decodeUtf8(value)), lost));
        } catch (error) {
          if (!isDomainError(error)) throw error;
          yield { line, at, read: { error } };
        }
      }
      if (members === 0) {
        const error = new DomainError('MALFORMED_BODY', 'the file holds no JSON object of nodes; nodes.json is wanted');
        yield { line: 1, read: { error } };
      }
      nodes.sort((a, b) => a.number - b.number);
      const keys = new Map(nodes.map((node) => [node.at, node.key]));
      for (const node of nodes) yield thing(node, keys);
    },
    lost: () =>
      [...lost].map(([field, count]): LostField => ({ field, count, reason: lostReasons[field] ?? 'not known here' })),
  };
}

async function whole(stream: AsyncIterable<Buffer>, limit: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of stream) {
    length += piece.length;
    // Read on to its end: who sends is not listening before.
    if (length <= limit) pieces.push(piece);
    else pieces.length = 0;
  }
  if (length > limit) throw new DomainError('BODY_TOO_LARGE', `the file is over ${limit} bytes`);
  return Buffer.concat(pieces);
}

function nodeOf(line: number, at: string, json: unknown, lost: Map<string, number>): Node {
  const number = Number(/^node_(\d{1,9})$/.exec(at)?.[1] ?? Number.NaN);
  if (Number.isNaN(number) || typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw fieldError(at, 'is no node of a memory stream', 'Send nodes.json, whose keys are node_1, node_2, ….');
  }
  const fields = json as Record<string, unknown>;
  const kind = kindOf(fields['type']);
  const text = textOf(fields['description']);
  const occurredAt = timeOf(fields['created']);
  const notes: FieldError[] = [];
  const importance = importanceOf(fields['poignancy'], notes);
  const evidence = kind === 'reflection' ? evidenceOf(fields['filling'], notes) : [];
  const node: Node = {
    number,
    line,
    at,
    key: `${source}:${createHash('sha256').update(`${kind}\0${text}\0${occurredAt}`).digest('hex')}`,
    kind,
    text: kind === 'conversation' ? withWords(text, fields['filling'], notes) : text,
    occurredAt,
    importance,
    evidence,
    notes,
  };
  if (kind === 'reflection' && evidence.length === 0) {
    node.kind = 'observation';
    notes.push({ path: 'filling', rule: 'names no evidence', mend: 'Taken as an observation.' });
  }
  for (const [field, value] of Object.entries(fields)) {
    if (!taken.has(field) && value !== null) lost.set(field, (lost.get(field) ?? 0) + 1);
  }
  return node;
}

function thing(node: Node, keys: ReadonlyMap<string, string>): ReadThing {
  const { line, at, notes, kind, text, importance, occurredAt, key: externalKey } = node;
  const told = { text, importance, occurredAt, externalKey, source };
  // What was refused has no key; its own name is told where it is missed.
  const evidence = [...new Set(node.evidence.map((id) => keys.get(id) ?? id))];
  try {
    const read = readMemoryLine(kind === 'reflection' ? { type: kind, ...told, evidence } : { ...told, kind });
    return { line, at, read: { told: read }, notes };
  } catch (error) {
    if (isDomainError(error)) return { line, at, read: { error } };
    throw error;
  }
}

function kindOf(type: unknown): Node['kind'] {
  if (typeof type === 'string' && Object.hasOwn(kinds, type)) return kinds[type as keyof typeof kinds];
  throw fieldError('type', 'must be event, chat or thought', 'Write one of them.');
}

function textOf(description: unknown): string {
  if (typeof description !== 'string' || description.trim() === '') {
    throw fieldError('description', 'must not be blank', 'Write what was remembered, or leave the node out.');
  }
  if (placeholder.test(description.trim())) {
    throw fieldError('description', 'is the placeholder of a model that gave nothing', 'Leave the node out.');
  }
  return description;
}

/** `2023-02-13 00:00:00`, a clock without a zone: taken as UTC. */
function timeOf(created: unknown): string {
  const [, day, time] = /^(\d{4}-\d{2}-\d{2})[ T](\d{2}:\d{2}:\d{2})$/.exec(String(created)) ?? [];
  if (day === undefined) throw fieldError('created', 'must be a time', 'Write it as 2023-02-13 08:30:00.');
  return `${day}T${time}Z`;
}

function importanceOf(poignancy: unknown, notes: FieldError[]): number {
  const number = typeof poignancy === 'string' && poignancy.trim() !== '' ? Number(poignancy) : poignancy;
  const known = typeof number === 'number' && Number.isFinite(number);
  const importance = known ? Math.min(10, Math.max(1, Math.round(number))) : 5;
  if (importance !== poignancy) {
    const rule = known ? `is ${JSON.stringify(poignancy)}, not a whole number from 1 to 10` : 'is no number';
    notes.push({ path: 'poignancy', rule, mend: `Taken as ${importance}.` });
  }
  return importance;
}

function evidenceOf(filling: unknown, notes: FieldError[]): string[] {
  if (filling === null || filling === undefined) return [];
  if (typeof filling === 'string') {
    notes.push({ path: 'filling', rule: 'is one name and no list', mend: 'Taken as a list of it.' });
    return [filling];
  }
  const named = Array.isArray(filling) ? filling.filter((id): id is string => typeof id === 'string' && id !== '') : [];
  if (!Array.isArray(filling) || named.length < filling.length) {
    notes.push({ path: 'filling', rule: 'holds what is no name of a node', mend: 'Left out.' });
  }
  return named;
}

/** What was said stands beside a chat's summary as pairs of speaker and words. */
function withWords(summary: string, filling: unknown, notes: FieldError[]): string {
  const said = (Array.isArray(filling) ? filling : []).flatMap((pair): string[] =>
    Array.isArray(pair) && pair.length === 2 && pair.every((part) => typeof part === 'string')
      ? [`${pair[0]}: ${pair[1]}`]
      : [],
  );
  let text = summary;
  let kept = 0;
  for (const words of said) {
    if (text.length + 1 + words.length > textChars) break;
    text = `${text}\n${words}`;
    kept += 1;
  }
  const left = (Array.isArray(filling) ? filling.length : 0) - kept;
  if (left > 0)
    notes.push({ path: 'filling', rule: `holds ${left} lines that have no room or no form`, mend: 'Left out.' });
  return text;
}
