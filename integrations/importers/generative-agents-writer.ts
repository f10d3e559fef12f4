import type { MemoryKind } from '../../domain/states.ts';
import { termsOf } from '../../domain/terms.ts';
import type { LostField } from './importer.ts';

/** A memory as it leaves, with all that an agent's row says of it. */
export interface LeavingMemory {
  kind: MemoryKind;
  /** Empty where it was forgotten. */
  text: string;
  importance: number;
  externalKey: string;
  occurredAt: Date;
  validTo: Date | null;
  supersededAt: Date | null;
  deletedAt: Date | null;
  lastUsedAt: Date | null;
  depth: number;
  modelId: string | null;
  /** External keys of what it rests on. */
  evidence: readonly string[];
}

export interface WrittenMemoryStream {
  /** `nodes.json`, in pieces. */
  pieces: string[];
  lost: LostField[];
}

const types: Partial<Record<MemoryKind, 'event' | 'chat' | 'thought'>> = {
  observation: 'event',
  conversation: 'chat',
  reflection: 'thought',
};
const mostKeywords = 12;

/**
 * `associative_memory/nodes.json` of Generative Agents (Park et al. 2023), as `generativeAgentsImporter` reads it: what the
 * agent has in mind, numbered from `node_1` without a gap, as that code counts them when it loads; what was superseded only
 * where a reflection rests on it. What it has no place for is told.
 * @param memories by their order; evidence before what rests on it
 */
export function writeMemoryStream(name: string, memories: readonly LeavingMemory[]): WrittenMemoryStream {
  const lost = new Map<string, { count: number; reason: string }>();
  const lose = (field: string, reason: string, count = 1) => {
    if (count > 0) lost.set(field, { reason, count: (lost.get(field)?.count ?? 0) + count });
  };
  const isLiving = ({ deletedAt, supersededAt, text }: LeavingMemory) =>
    deletedAt === null && supersededAt === null && text !== '';
  const cited = new Set(memories.filter(isLiving).flatMap(({ evidence }) => evidence));
  const numbers = new Map<string, number>();
  const counts = { event: 0, chat: 0, thought: 0 };
  const pieces: string[] = [];
  for (const memory of memories) {
    const { kind, text, evidence, externalKey } = memory;
    if (memory.deletedAt !== null || text === '') {
      lose('deleted', 'a memory stream knows no deletion: these are left out');
      continue;
    }
    if (memory.supersededAt !== null && !cited.has(externalKey)) {
      lose('superseded', 'a memory stream would tell them as if they held: these are left out');
      continue;
    }
    const number = numbers.size + 1;
    const known = evidence.flatMap((key) => numbers.get(key) ?? []);
    lose('evidence', 'it is not in the file', evidence.length - known.length);
    const type = kind === 'reflection' && known.length === 0 ? 'event' : (types[kind] ?? 'event');
    numbers.set(externalKey, number);
    counts[type] += 1;
    const { description, said } = type === 'chat' ? saidOf(text) : { description: text, said: [] };
    if (types[kind] !== type) lose('kind', 'a memory stream has events, chats and thoughts: written as event');
    if (memory.occurredAt.getUTCMilliseconds() > 0) lose('occurredAt', 'told to the second, in UTC');
    if (memory.lastUsedAt !== null) lose('lastUsedAt', 'that code counts from when it loads');
    if (memory.modelId) lose('model', 'a memory stream does not say what made a thought');
    const node = {
      node_count: number,
      type_count: counts[type],
      type,
      depth: type === 'thought' ? memory.depth : 0,
      created: timeOf(memory.occurredAt),
      expiration: memory.validTo && timeOf(memory.validTo),
      subject: name,
      predicate: 'remembers',
      object: description,
      description,
      embedding_key: description,
      poignancy: memory.importance,
      keywords: keywordsOf(name, text),
      filling: type === 'thought' ? known.map((each) => `node_${each}`) : said,
    };
    pieces.push(`${number === 1 ? '{\n' : ',\n'}"node_${number}": ${JSON.stringify(node)}`);
  }
  const { size } = numbers;
  lose('source', 'a memory stream does not say who told it', size);
  lose('externalKey', 'nodes are numbered', size);
  lose('recordedAt', 'a memory stream knows one time', size);
  lose('vector', 'that code makes embeddings.json with its own model, a vector for each embedding_key', size);
  pieces.push(size === 0 ? '{}\n' : '\n}\n');
  return { pieces, lost: [...lost].map(([field, about]) => ({ field, ...about })) };
}

/** `2023-02-13 00:00:00`, in UTC. */
function timeOf(at: Date): string {
  return at.toISOString().slice(0, 19).replace('T', ' ');
}

function keywordsOf(name: string, text: string): string[] {
  return [...new Set([name.toLowerCase(), ...termsOf(text).map(([term]) => term)])].slice(0, mostKeywords);
}

/** A summary and below it lines of who said what, as the importer puts them; any other text is a summary alone. */
function saidOf(text: string): { description: string; said: Array<[speaker: string, words: string]> } {
  const [summary, ...lines] = text.split('\n');
  const said = lines.flatMap((line): Array<[string, string]> => {
    const [, speaker, words] = /^([^:]{1,60}): (.+)$/.exec(line) ?? [];
    return speaker === undefined || words === undefined ? [] : [[speaker, words]];
  });
  if (summary === undefined || summary.trim() === '' || said.length < lines.length)
    return { description: text, said: [] };
  return { description: summary, said };
}
