import { DomainError } from '../domain/errors.ts';
import { fieldError } from '../domain/field-errors.ts';
import type { Fleet } from '../domain/fleet.ts';
import { chooseMemories, type LeftOutReason, type LoopChoice } from '../domain/loop-choice.ts';
import { loopLines, type PackedMemory } from '../domain/loop-memories.ts';
import { loopModels, memoryWriters } from '../domain/loop-models.ts';
import { assembleLoop, type LoopSigner, readLoop, signLoop, type UnsignedLoop } from '../domain/loop-packages.ts';
import { termsInFleet } from '../domain/model-licenses.ts';

import { personaVersion, questionsVersion, reflectVersion, talkVersion } from '../domain/prompts/versions.ts';
import { isPrivate } from '../domain/sources.ts';
import type { GpuClass } from '../domain/task-queues.ts';
import type { Database } from '../stores/database.ts';
import type { AgentDetail } from '../stores/queries/agents.ts';
import { loopMemoriesOf, memoryBytes, personaWriter } from '../stores/queries/loop-memories.ts';
import { installOf, originModels } from '../stores/queries/loop-packages.ts';
import { hostCrypto } from '../config/host-crypto.ts';

/** All memories of an agent are judged together, and what is private among them by every five words in a row. */
const mostTextBytes = 12 * 1024 * 1024;

export interface PackedLoop {
  loop: UnsignedLoop;
  goesIn: PackedMemory[];
  leftOut: Array<{ memory: PackedMemory; reason: LeftOutReason }>;
}

export interface Packing {
  ownerId: string;
  agent: AgentDetail;
  fleet: Fleet;
  choice: LoopChoice;
}

/**
 * What a package of this agent holds as things stand, read in one look.
 * @throws INVALID_INPUT where more was chosen than a package takes, or the persona says what is private
 */
export async function packLoop(db: Database, { ownerId, agent, fleet, choice }: Packing): Promise<PackedLoop> {
  const privacy = new Map(fleet.sources.map((source) => [source.id, isPrivate(source)]));
  const whose = { ownerId, agentId: agent.id };
  const { memories, origin, said, writer } = await db
    .transaction()
    .setIsolationLevel('repeatable read')
    .execute(async (tx) => {
      const bytes = await memoryBytes(tx, whose);
      if (bytes > mostTextBytes) {
        const rule = `must hold ${mostTextBytes} bytes at most; they hold ${bytes}`;
        throw fieldError('memories', rule, 'Lower `memoriesPerAgent` of fleet.yaml, or pack another agent.');
      }
      return {
        memories: await loopMemoriesOf(tx, { ...whose, isPrivateSource: (id) => privacy.get(id) }),
        origin: await installOf(tx, ownerId, agent.id),
        said: await originModels(tx, whose),
        writer: await personaWriter(tx, whose),
      };
    });
  const { chosen, leftOut, repeatsPrivate } = chooseMemories(memories, choice);
  if (choice.personaQuotes !== true && repeatsPrivate(`${agent.persona}\n${agent.traits.join('\n')}`)) {
    throw fieldError(
      'personaQuotes',
      `must be true: the persona of ${agent.id} says what a private memory says, such as the whisper that called it`,
      'Read the persona; where it may go out, pack it with `--persona-quotes`.',
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
      ...(origin && { madeFrom: { contentHash: origin.contentHash, keyId: origin.keyId } }),
    },
    hostCrypto.sha256,
  );
  return { loop, goesIn, leftOut: [...leftOut, ...again] };
}

/**
 * The signed package, read back as whoever installs it would: none is kept that could not be.
 * @throws what reading throws, which then is a fault of ours
 */
export async function signReadable(loop: UnsignedLoop, signer: LoopSigner): Promise<ReturnType<typeof signLoop>> {
  const signed = signLoop(loop, signer);
  const pieces = (async function* () {
    yield signed.archive;
  })();
  try {
    await readLoop(pieces, { checks: hostCrypto, isPinned: () => true });
  } catch (cause) {
    throw new DomainError('INTERNAL', 'the package that was made cannot be read', { cause });
  }
  return signed;
}
