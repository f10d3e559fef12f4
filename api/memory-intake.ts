import { createHash } from 'node:crypto';
import { DomainError } from '../domain/errors.ts';
import { settleClaims } from '../domain/evidence-order.ts';
import { fieldError } from '../domain/field-errors.ts';
import { type TellingLine } from '../domain/memory-lines.ts';
import type { Database } from '../stores/database.ts';
import type { MemoryStore, NewMemory } from '../stores/memories.ts';
import { contentHashOf } from '../stores/memory-rows.ts';
import { agentsTakingMemories, type KnownMemory, memoriesByKeys } from '../stores/queries/memories.ts';
import type { ImportReportWriter, Place } from './import-report.ts';
import { toldMemory } from './told-memories.ts';

const batchLines = 1_000;
const batchCharacters = 4 * 1024 * 1024;
/** Lines, and characters of them, that may wait for evidence that comes later in the file. */
const mostWaiting = { lines: 20_000, characters: 16 * 1024 * 1024 };
const mostSuccessions = 100_000;
const keysAtOnce = 10_000;

export interface ImportOptions {
  db: Database;
  memories: Pick<MemoryStore, 'add' | 'linkSuccessors'>;
  ownerId: string;
  /** Everything goes to this agent, whoever the lines name. */
  agentId?: string | undefined;
  dryRun: boolean;
}

interface Told {
  place: Place;
  memory: NewMemory;
  supersededBy: string | undefined;
}

interface Succession {
  place: Place;
  agentId: string;
  key: string;
  successor: string;
}

/**
 * Judges the lines of one import by what was here before it and by the lines before them, and adds the good ones. A
 * reflection goes in once its evidence is here, so that none ever stands without; a memory that gave way is told so from
 * its first moment on, and linked to its successor when that has come.
 */
export function createMemoryIntake({ db, memories, ownerId, dryRun }: ImportOptions, report: ImportReportWriter) {
  const takesMemories = new Map<string, boolean>();
  /** Where each good line of this file stands, by a short digest of agent and key. */
  const placed = new Map<string, string | number>();
  let batch: Told[] = [];
  let characters = 0;
  let waiting: Told[] = [];
  let waitingCharacters = 0;
  let successions: Succession[] = [];

  /** Reads what is here of all that the lines name; the answers are good until something is added. */
  async function look(keys: Array<{ agentId: string; externalKey: string }>) {
    const stored = new Map<string, KnownMemory>();
    for (let from = 0; from < keys.length; from += keysAtOnce) {
      const some = await memoriesByKeys(db, ownerId, keys.slice(from, from + keysAtOnce));
      for (const [key, known] of some) stored.set(key, known);
    }
    return {
      stored: (agentId: string, key: string): KnownMemory | undefined => stored.get(`${agentId} ${key}`),
      isHere: (agentId: string, key: string): boolean =>
        stored.has(`${agentId} ${key}`) || placed.has(digest(agentId, key)),
    };
  }

  async function judge(): Promise<void> {
    const lines = batch;
    batch = [];
    characters = 0;
    if (lines.length === 0) return;
    await learnAgents(lines.map(({ memory }) => memory.agentId));
    const here = await look(lines.flatMap(({ memory }) => keysOf(memory)));
    const good: Told[] = [];
    for (const told of lines) {
      const { place, memory } = told;
      const known = here.stored(memory.agentId, memory.externalKey);
      const own = digest(memory.agentId, memory.externalKey);
      const before = placed.get(own);
      if (!takesMemories.get(memory.agentId)) {
        report.refuse(place, new DomainError('NOT_FOUND', `no agent ${memory.agentId}`));
      } else if (before !== undefined) {
        report.refuse(place, comesTwice(before));
      } else if (known && !known.contentHash.equals(contentHashOf(memory))) {
        report.refuse(place, otherText(memory.externalKey));
      } else {
        placed.set(own, place.at ?? place.line);
        if (known) {
          report.counts.known += 1;
          if (known.waitsForSuccessor) succeed(told);
        } else if (memory.reflection?.evidence.every((key) => here.isHere(memory.agentId, key)) === false) {
          // Not to be taken for evidence before it is in itself.
          placed.delete(own);
          wait(told);
        } else {
          good.push(told);
        }
      }
    }
    await add(good);
  }

  async function learnAgents(agentIds: readonly string[]): Promise<void> {
    const unknown = [...new Set(agentIds)].filter((agentId) => !takesMemories.has(agentId));
    const taking = await agentsTakingMemories(db, ownerId, unknown);
    for (const agentId of unknown) takesMemories.set(agentId, taking.has(agentId));
  }

  function wait(told: Told): void {
    waitingCharacters += sizeOf(told.memory);
    if (waiting.length < mostWaiting.lines && waitingCharacters <= mostWaiting.characters) waiting.push(told);
    else report.refuse(told.place, tooManyWait());
  }

  function succeed({ place, memory, supersededBy }: Told): void {
    if (supersededBy === undefined) return;
    const { agentId, externalKey } = memory;
    if (successions.length < mostSuccessions) {
      successions.push({ place, agentId, key: externalKey, successor: supersededBy });
    } else {
      report.note(place, {
        path: 'supersededBy',
        rule: 'comes after too many others that wait for their successors',
        mend: 'Import the file once more: it then finds its successor.',
      });
    }
  }

  async function add(good: readonly Told[]): Promise<void> {
    for (const told of good) succeed(told);
    if (good.length === 0) return;
    if (dryRun) {
      report.counts.added += good.length;
      return;
    }
    const result = await memories.add(
      ownerId,
      good.map(({ memory }) => memory),
    );
    report.counts.added += result.added;
    // Somebody else may have added the same, retired the agent, or taken the evidence away since it was looked for.
    report.counts.known += result.known;
    const retired = new Set(result.unknown);
    const groundless = new Set(result.groundless.map(({ agentId, externalKey }) => `${agentId} ${externalKey}`));
    for (const { place, memory } of good) {
      if (retired.has(memory.agentId)) report.refuse(place, new DomainError('NOT_FOUND', `no agent ${memory.agentId}`));
      else if (groundless.has(`${memory.agentId} ${memory.externalKey}`)) report.refuse(place, restsOnNothing());
    }
  }

  /** Those whose evidence has come, or will not come any more. */
  async function settle(): Promise<void> {
    const byAgent = Map.groupBy(waiting, ({ memory }) => memory.agentId);
    waiting = [];
    for (const [agentId, all] of byAgent) {
      const claims = firstOfEachKey(all);
      const here = await look(claims.flatMap(({ memory }) => keysOf(memory)));
      const settled = settleClaims(
        claims.map(({ memory }) => ({ key: memory.externalKey, evidence: memory.reflection!.evidence })),
        (key) => here.isHere(agentId, key),
      );
      const good: Told[] = [];
      for (const { claim, evidence, missing } of settled) {
        const told = claims[claim]!;
        const { place, memory } = told;
        if (evidence.length === 0) {
          report.refuse(place, restsOnNothing(missing));
          continue;
        }
        for (const key of missing) report.note(place, notHere('evidence', key, 'Left out; it rests on the others.'));
        placed.set(digest(agentId, memory.externalKey), place.at ?? place.line);
        good.push({ ...told, memory: { ...memory, reflection: { ...memory.reflection!, evidence } } });
      }
      for (let from = 0; from < good.length; from += batchLines) await add(good.slice(from, from + batchLines));
    }
  }

  function firstOfEachKey(all: readonly Told[]): Told[] {
    const first = new Map<string, Told>();
    for (const told of all) {
      const { agentId, externalKey } = told.memory;
      const waits = first.get(externalKey)?.place;
      const before = placed.get(digest(agentId, externalKey)) ?? waits?.at ?? waits?.line;
      if (before === undefined) first.set(externalKey, told);
      else report.refuse(told.place, comesTwice(before));
    }
    return [...first.values()];
  }

  async function linkSuccessors(): Promise<void> {
    for (const [agentId, all] of Map.groupBy(successions, (succession) => succession.agentId)) {
      for (let from = 0; from < all.length; from += batchLines) {
        const some = all.slice(from, from + batchLines);
        const here = await look(some.map(({ successor }) => ({ agentId, externalKey: successor })));
        const come = some.filter(({ successor }) => here.isHere(agentId, successor));
        for (const { place, successor } of some) {
          if (here.isHere(agentId, successor)) continue;
          report.note(place, notHere('supersededBy', successor, 'It gave way all the same; to what is not told.'));
        }
        if (!dryRun) await memories.linkSuccessors(ownerId, agentId, come);
      }
    }
    successions = [];
  }

  return {
    /** @throws INVALID_INPUT where it tells of what is to come, or nobody says whose it is */
    async take(place: Place, line: TellingLine, agentId: string | undefined): Promise<void> {
      if (agentId === undefined) {
        throw fieldError('agentId', 'is required', 'Name the agent in the line, or in the request with ?agentId=.');
      }
      const memory = toldMemory(agentId, line, new Date());
      batch.push({ place, memory, supersededBy: line.supersededBy });
      characters += sizeOf(memory);
      if (batch.length >= batchLines || characters >= batchCharacters) await judge();
    },

    async end(): Promise<void> {
      await judge();
      await settle();
      await linkSuccessors();
    },
  };
}

/** In characters, about. */
function sizeOf({ text, reflection }: NewMemory): number {
  return (reflection?.evidence ?? []).reduce((sum, key) => sum + key.length, text.length);
}

function keysOf({ agentId, externalKey, reflection }: NewMemory): Array<{ agentId: string; externalKey: string }> {
  return [externalKey, ...(reflection?.evidence ?? [])].map((key) => ({ agentId, externalKey: key }));
}

/** 96 bits: two keys of one import do not meet by chance. */
function digest(agentId: string, key: string): string {
  return createHash('sha256').update(`${agentId}\0${key}`).digest().toString('latin1', 0, 12);
}

function comesTwice(before: string | number): DomainError {
  const where = typeof before === 'number' ? `line ${before}` : before;
  const rule = `comes twice in the file: the same as ${where}`;
  return new DomainError('CONFLICT', `externalKey ${rule}`, {
    fields: [{ path: 'externalKey', rule, mend: 'Remove one of them, or give each a key of its own.' }],
  });
}

function otherText(key: string): DomainError {
  const rule = `${key} is here already with another text`;
  return new DomainError('CONFLICT', `externalKey ${rule}`, {
    fields: [{ path: 'externalKey', rule, mend: 'Give it another key; what changed is told with supersede.' }],
  });
}

function restsOnNothing(missing: readonly string[] = []): DomainError {
  const named = missing.length === 0 ? '' : `: ${missing.slice(0, 3).join(', ')}${missing.length > 3 ? ', …' : ''}`;
  return fieldError(
    'evidence',
    `is not here, none of it${named}`,
    'Import the memories it rests on first, or with it.',
  );
}

function tooManyWait(): DomainError {
  return fieldError(
    'evidence',
    `comes later in the file, and ${mostWaiting.lines} lines wait for theirs already`,
    'Put the evidence before what rests on it, or import the file once more.',
  );
}

function notHere(path: string, key: string, mend: string) {
  return { path, rule: `names ${key}, which is neither here nor in the file`, mend };
}
