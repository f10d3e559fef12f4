import { canonicalJson, type CanonicalValue } from './canonical-json.ts';
import { DomainError, isDomainError } from './errors.ts';
import { settleClaims } from './evidence-order.ts';
import { packableKinds, type JudgedMemory, type LeftOutReason } from './loop-choice.ts';
import { type MemoryLine, readMemoryLine, type ReflectionLine, type RememberedLine } from './memory-lines.ts';

/**
 * The memories of a loop package: lines of docs/memory.md without header and end, whose keys are made of what they say. An
 * agent that is installed from a package keeps these keys, so packing it again gives the same lines on any fleet.
 */
export type Sha256 = (bytes: Uint8Array) => string;

export interface PackedMemory extends JudgedMemory {
  source: string;
  validTo: string | null;
  /** Of a reflection; empty where it was not told. */
  modelId: string;
  promptVersion: string;
}

export type LoopLine =
  | (Pick<RememberedLine, 'kind' | 'text' | 'importance' | 'source'> & LineTimes & { type: 'memory' })
  | (Pick<ReflectionLine, 'text' | 'importance' | 'source' | 'evidence' | 'model' | 'promptVersion'> &
      LineTimes & { type: 'reflection' });
interface LineTimes {
  externalKey: string;
  occurredAt: string;
  validTo?: string | undefined;
}

const keyPattern = /^loop:[0-9a-f]{64}$/;

/** Of a memory that came with a package. */
export function isLoopKey(externalKey: string): boolean {
  return keyPattern.test(externalKey);
}

/**
 * Who told a memory, without the names of this fleet: `feed:harbour-news` is a feed, whatever is not known here was `told`.
 * Again applied it changes nothing.
 */
export function packedSource(source: string): string {
  const [kind] = source.split(':', 1);
  if (kind === 'inherited') return 'inherited:loop';
  return publicSources.has(kind!) ? kind! : 'told';
}
const publicSources: ReadonlySet<string> = new Set(
  'feed webhook folder drops consolidated reflection world import api command'.split(' '),
);

/** @returns lines in their order, and the memories that say what another one says of the same moment, with what rests on nothing else */
export function loopLines<Memory extends PackedMemory>(
  memories: readonly Memory[],
  sha256: Sha256,
): { lines: LoopLine[]; leftOut: Array<{ memory: Memory; reason: LeftOutReason }> } {
  const made = new Map<string, { line: LoopLine; at: number; depth: number }>();
  const byKey = new Map<string, { line: LoopLine; at: number; depth: number }>();
  const leftOut: Array<{ memory: Memory; reason: LeftOutReason }> = [];
  for (const memory of evidenceFirst(memories)) {
    const evidence = memory.evidence.flatMap((id) => made.get(id) ?? []);
    const line = lineOf(memory, [...new Set(evidence.map((each) => each.line.externalKey))]);
    const key = `loop:${sha256(new TextEncoder().encode(textOf(line)))}`;
    const known = byKey.get(key);
    if (known) {
      made.set(memory.id, known);
      leftOut.push({ memory, reason: 'same_again' });
      continue;
    }
    const depth = evidence.reduce((most, each) => Math.max(most, each.depth + 1), 0);
    const at = evidence.reduce((latest, each) => Math.max(latest, each.at), Date.parse(memory.occurredAt));
    const whole = { line: { ...line, externalKey: key }, at, depth };
    made.set(memory.id, whole);
    byKey.set(key, whole);
  }
  // By time, and what rests on others after them: an order that no place of making or storing has a part in.
  const lines = [...byKey.values()]
    .sort((a, b) => a.at - b.at || a.depth - b.depth || (a.line.externalKey < b.line.externalKey ? -1 : 1))
    .map(({ line }) => line);
  return { lines, leftOut };
}

function evidenceFirst<Memory extends PackedMemory>(memories: readonly Memory[]): Memory[] {
  const resting = memories.filter(({ evidence }) => evidence.length > 0);
  const lived = memories.filter(({ evidence }) => evidence.length === 0);
  const here = new Set(lived.map(({ id }) => id));
  const claims = resting.map(({ id, evidence }) => ({ key: id, evidence }));
  return [...lived, ...settleClaims(claims, (id) => here.has(id)).map(({ claim }) => resting[claim]!)];
}

type Telling = Pick<
  PackedMemory,
  'kind' | 'text' | 'importance' | 'source' | 'occurredAt' | 'validTo' | 'modelId' | 'promptVersion'
>;

function lineOf(memory: Telling, evidence: string[]): LoopLine {
  const { kind, text, importance, occurredAt, validTo, modelId, promptVersion } = memory;
  const told = {
    text,
    importance,
    source: packedSource(memory.source),
    externalKey: '',
    occurredAt,
    ...(validTo === null ? {} : { validTo }),
  };
  if (kind !== 'reflection') return { type: 'memory', kind, ...told };
  return {
    type: 'reflection',
    ...told,
    evidence,
    ...(modelId === '' ? {} : { model: modelId }),
    ...(promptVersion === '' ? {} : { promptVersion }),
  };
}

function textOf(line: LoopLine): string {
  return canonicalJson(line as unknown as CanonicalValue);
}

export function writeLoopLines(lines: readonly LoopLine[]): string {
  return lines.map((line) => `${textOf(line)}\n`).join('');
}

const lineLimit = 64 * 1024;

/**
 * The line as we would have written it. What a package never tells (whose it is, an end, a use, a source of this fleet) is not in
 * it, and a time or source in another spelling is another text: so whoever signs, nothing but a memory comes out of a line.
 */
function madeAnew(line: LoopLine): LoopLine {
  const { text, importance, source, occurredAt, validTo } = line;
  const told = { text, importance, source, occurredAt: iso(occurredAt), validTo: validTo ? iso(validTo) : null };
  if (line.type === 'memory') return lineOf({ ...told, kind: line.kind, modelId: '', promptVersion: '' }, []);
  const { evidence, model = '', promptVersion = '' } = line;
  return lineOf({ ...told, kind: 'reflection', modelId: model, promptVersion }, [...new Set(evidence)]);
}

function iso(at: string): string {
  return new Date(at).toISOString();
}

/**
 * The lines of a package, each judged like a line of any import, and by what only a package promises: a public kind, no field but
 * those that packing writes, a key made of what it says, evidence in the lines before.
 * @throws INVALID_INPUT with the line that is to blame
 */
export function readLoopLines(text: string, sha256: Sha256): LoopLine[] {
  if (text === '') return [];
  if (!text.endsWith('\n')) throw unsound(1, 'its last line breaks off');
  const keys = new Set<string>();
  return text
    .slice(0, -1)
    .split('\n')
    .map((written, i) => {
      if (written.length > lineLimit) throw unsound(i + 1, 'is too long');
      const line = loopLineOf(parsed(written, i + 1), i + 1);
      if (textOf({ ...madeAnew(line), externalKey: line.externalKey }) !== written)
        throw unsound(i + 1, 'is not written as such a line is');
      const own = `loop:${sha256(new TextEncoder().encode(textOf({ ...line, externalKey: '' })))}`;
      if (line.externalKey !== own) throw unsound(i + 1, 'has a key that is not made of what it says');
      if (keys.has(own)) throw unsound(i + 1, 'says what a line before it says');
      if (line.type === 'reflection' && line.evidence.some((key) => !keys.has(key)))
        throw unsound(i + 1, 'rests on what does not stand before it');
      keys.add(own);
      return line;
    });
}

function parsed(written: string, number: number): MemoryLine {
  try {
    return readMemoryLine(JSON.parse(written));
  } catch (err) {
    if (isDomainError(err)) throw unsound(number, err.message, err);
    if (err instanceof SyntaxError) throw unsound(number, 'is no JSON', err);
    throw err;
  }
}

function loopLineOf(line: MemoryLine, number: number): LoopLine {
  if (line.type === 'header' || line.type === 'end' || 'forgotten' in line) throw unsound(number, 'is no memory');
  const kind = line.type === 'reflection' ? line.type : line.kind;
  if (!(packableKinds as readonly string[]).includes(kind) || (line.type === 'memory' && kind === 'reflection'))
    throw unsound(number, `tells a ${kind}, which no package holds`);
  const { externalKey, occurredAt } = line;
  if (externalKey === undefined || occurredAt === undefined) throw unsound(number, 'has no key or no time');
  return { ...line, externalKey, occurredAt } as LoopLine;
}

function unsound(line: number, why: string, cause?: unknown): DomainError {
  const field = { path: `memories.ndjson line ${line}`, rule: why, mend: 'Ask for the package anew.' };
  return new DomainError('INVALID_INPUT', `${field.path} ${why}`, { fields: [field], cause });
}
