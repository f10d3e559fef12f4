import { fieldError } from '../domain/field-errors.ts';
import type { Fleet } from '../domain/fleet.ts';
import { chooseMemories, type LeftOutReason, leftOutReasons, type LoopChoice } from '../domain/loop-choice.ts';
import type { LoopManifest, LoopModel } from '../domain/loop-manifest.ts';
import { loopLines, type PackedMemory } from '../domain/loop-memories.ts';
import { loopModels, memoryWriters } from '../domain/loop-models.ts';
import { assembleLoop, readMembers, type UnsignedLoop } from '../domain/loop-packages.ts';
import { termsInFleet } from '../domain/model-licenses.ts';
import { personaVersion, questionsVersion, reflectVersion, talkVersion } from '../domain/prompts/versions.ts';
import { isPrivate } from '../domain/sources.ts';
import type { GpuClass } from '../domain/task-queues.ts';
import type { AgentDetail } from '../stores/queries/agents.ts';
import { judgedMemories, type LoopRow } from '../stores/queries/loop-memories.ts';
import { hostCrypto } from '../config/host-crypto.ts';

/** Memories that a preview names one by one, of those that go in and of those that stay out; all are counted. */
export const mostNamed = 500;
export const namedChars = 160;

/** What is packed, beside the memories; plain, so that another thread can be told it. */
export interface ChoosingInput {
  agent: AgentDetail;
  fleet: Fleet;
  choice: LoopChoice;
  /** The package that the agent came with. */
  origin: LoopManifest['madeFrom'];
  /** What that package, and those of its ancestors, say of models. */
  said: LoopModel[];
  /** The model that wrote the persona. */
  writer: string | undefined;
}

type Named = Pick<PackedMemory, 'id' | 'kind' | 'occurredAt' | 'importance' | 'text'>;

export interface ChosenLoop {
  loop: UnsignedLoop;
  /** The first of them by time. */
  goesIn: Named[];
  goesInCount: number;
  staysOut: Array<Named & { reason: LeftOutReason }>;
  staysOutCount: number;
  reasons: Array<{ reason: LeftOutReason; why: string; count: number }>;
}

/**
 * What a package of these memories holds, read back as whoever installs it would: none is made that could not be. All is judged
 * together, which takes seconds for a long life.
 * @throws INVALID_INPUT where more was chosen than a package takes, or the persona says what is private
 */
export function chooseLoop(rows: readonly LoopRow[], input: ChoosingInput): ChosenLoop {
  const { agent, fleet, choice, origin, said, writer } = input;
  const privacy = new Map(fleet.sources.map((source) => [source.id, isPrivate(source)]));
  const memories = judgedMemories(rows, agent.id, (sourceId) => privacy.get(sourceId));
  const { chosen, leftOut, repeatsPrivate } = chooseMemories(memories, choice);
  if (choice.personaQuotes !== true && repeatsPrivate(saidOfItself(agent).join('\n'))) {
    throw fieldError(
      'personaQuotes',
      `must be true: the id, name, persona or traits of ${agent.id} say what a private memory says, such as the whisper that called it`,
      'Read them; where they may go out, pack it with `--persona-quotes`.',
    );
  }
  const { lines, leftOut: again } = loopLines(chosen, hostCrypto.sha256);
  const repeated = new Set(again.map(({ memory }) => memory));
  const goesIn = chosen.filter((memory) => !repeated.has(memory));
  const writers = [...memoryWriters(goesIn, memories), ...(writer === undefined ? [] : [writer])];
  const loop = assembleLoop(
    {
      agentId: agent.id,
      persona: { name: agent.name, persona: agent.persona, traits: agent.traits, mask: { seed: agent.maskSeed } },
      prompts: {
        questions: questionsVersion,
        reflect: reflectVersion,
        talk: talkVersion,
        persona: personaVersion,
      },
      lines,
      needs: {
        archetype: agent.archetype,
        cadence: agent.cadence,
        model: agent.modelId,
        leastClass: agent.leastClass as GpuClass,
        mayDegrade: agent.mayDegrade,
        expectedTokens: agent.expectedTokens,
        importanceThreshold: agent.importanceThreshold,
      },
      models: loopModels({
        needed: agent.modelId,
        writers,
        termsOf: (modelId) => termsInFleet(fleet, modelId),
        origin: said,
      }),
      ...(origin && { madeFrom: origin }),
    },
    hostCrypto.sha256,
  );
  refuseUnreadable(loop);
  return { loop, ...preview(goesIn, [...leftOut, ...again]) };
}

/** Every text of a package but its memories that people or models wrote; the rest is of fleet.yaml, versions and numbers. */
function saidOfItself({ id, name, persona, traits }: AgentDetail): string[] {
  return [id, name, persona, ...traits];
}

/** @throws Error: it would be a fault of ours, whatever was asked for */
function refuseUnreadable({ content, members }: UnsignedLoop): void {
  try {
    readMembers(content, members, hostCrypto.sha256);
  } catch (cause) {
    throw new Error('the package that was made cannot be read', { cause });
  }
}

function preview(
  goesIn: readonly PackedMemory[],
  leftOut: ReadonlyArray<{ memory: PackedMemory; reason: LeftOutReason }>,
): Omit<ChosenLoop, 'loop'> {
  const byTime = (a: PackedMemory, b: PackedMemory) => (a.occurredAt < b.occurredAt ? -1 : 1);
  const named = ({ id, kind, occurredAt, importance, text }: PackedMemory) => ({
    id,
    kind,
    occurredAt,
    importance,
    text: text.length <= namedChars ? text : `${text.slice(0, namedChars).toWellFormed()}…`,
  });
  const counts = Map.groupBy(leftOut, ({ reason }) => reason);
  return {
    goesIn: goesIn.toSorted(byTime).slice(0, mostNamed).map(named),
    goesInCount: goesIn.length,
    staysOut: leftOut
      .toSorted((a, b) => byTime(a.memory, b.memory))
      .slice(0, mostNamed)
      .map(({ memory, reason }) => ({ ...named(memory), reason })),
    staysOutCount: leftOut.length,
    reasons: (Object.keys(leftOutReasons) as LeftOutReason[]).flatMap((reason) => {
      const count = counts.get(reason)?.length ?? 0;
      return count === 0 ? [] : [{ reason, why: leftOutReasons[reason], count }];
    }),
  };
}
