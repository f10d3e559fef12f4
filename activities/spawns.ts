import { Context } from '@temporalio/activity';
import { cosine, type Embedder, type EmbeddingSettings } from '../domain/embeddings.ts';
import { DomainError } from '../domain/errors.ts';
import { durationSeconds } from '../domain/durations.ts';
import { backgroundPriority, type LadderStep } from '../domain/ladder.ts';
import { roomRefusal } from '../domain/spawn-room.ts';
import { childNames } from '../domain/spawned-personas.ts';
import type { Refusal, SpawnEnd } from '../domain/whispers.ts';
import { contentHash, embedAndKeep, type EmbeddingStore } from '../stores/embeddings.ts';
import { vectorOf } from '../stores/memory-columns.ts';
import type { MachineStore } from '../stores/machines.ts';
import type { MemorySearch } from '../stores/memory-search.ts';
import type { PlanStore } from '../stores/plans.ts';
import type { RunStore } from '../stores/runs.ts';
import type { DraftedPersona, Nearest, OpenSpawn, SpawnStore } from '../stores/spawns.ts';
import type { StepResultStore } from '../stores/step-results.ts';
import { personaStep } from './compose-persona.ts';
import type { FleetReader } from './fleet-view.ts';
import { createLadder } from './ladder.ts';

/** Names tried for one draft. */
const namesTried = 24;
/** Personas embedded between two heartbeats, and vectors read at once. */
const embeddedAtOnce = 32;
const readAtOnce = 1_000;

export interface SpawnLimits {
  heartbeatTimeout: number;
  callTimeout: number;
  scheduleToStart: number;
  parkedFor: number;
}

export type BegunSpawn =
  | { kind: 'open'; memoryIds: string[]; drafts: number; limits: SpawnLimits }
  | { kind: 'ended'; end: SpawnEnd };

export type PlacedDraft = { kind: 'draft'; name: string; step: LadderStep } | { kind: 'ended'; end: SpawnEnd };

/** Somebody was born since it was judged whom it cannot be compared with: it is to be judged again. */
export interface Unjudged {
  state: 'unjudged';
}

export interface DraftInput {
  whisperId: string;
  draft: number;
}

export function createSpawnActivities(deps: {
  spawns: SpawnStore;
  embeddings: EmbeddingStore;
  steps: StepResultStore;
  machines: MachineStore;
  plans: PlanStore;
  runs: RunStore;
  memorySearch: MemorySearch;
  embedderOf: (settings: EmbeddingSettings) => Embedder;
  fleet: FleetReader;
}) {
  const { spawns, embeddings, steps, fleet } = deps;
  const decide = createLadder(deps);

  return {
    /** What the parent remembers of the whisper; the child will be born with it. */
    async beginSpawn({ whisperId }: { whisperId: string }): Promise<BegunSpawn> {
      const spawn = await spawns.underWay(whisperId);
      if (hasEnded(spawn)) return { kind: 'ended', end: spawn };
      const { fleet: settings } = await fleet();
      const { found } = await deps.memorySearch.search({
        ownerId: spawn.ownerId,
        agentId: spawn.parent.id,
        text: spawn.text,
        limit: settings.spawning.inheritedMemories,
        now: new Date(),
        used: true,
      });
      const { limits } = settings;
      return {
        kind: 'open',
        memoryIds: found.map(({ id }) => id),
        drafts: settings.spawning.drafts,
        limits: {
          heartbeatTimeout: durationSeconds(limits.heartbeatTimeout) * 1000,
          callTimeout: durationSeconds(limits.callTimeout) * 1000,
          scheduleToStart: durationSeconds(limits.scheduleToStart) * 1000,
          parkedFor: durationSeconds(limits.parkedFor) * 1000,
        },
      };
    },

    /** The draft's name, and where on its parent's ladder it is written. */
    async beginDraft({ whisperId, draft }: DraftInput): Promise<PlacedDraft> {
      const spawn = await spawns.underWay(whisperId);
      if (hasEnded(spawn)) return { kind: 'ended', end: spawn };
      const names = childNames(spawn.parent.archetype, `${whisperId}/${draft}`, namesTried);
      const name = await spawns.takeName(whisperId, draft, names);
      if (name === null) {
        const refusal: Refusal = { code: 'NO_NAME', reason: `${namesTried} names were tried, and all are taken` };
        return { kind: 'ended', end: await spawns.refuse(whisperId, refusal) };
      }
      const step = await stepOf(spawn);
      return {
        kind: 'draft',
        name,
        // What only begins has waited for nobody yet.
        step: step.kind === 'work' ? { kind: 'work', rung: { ...step.rung, priority: backgroundPriority } } : step,
      };
    },

    /** Nobody took the draft in time, or it was parked: where it stands on its parent's ladder now. */
    async climbSpawn({ whisperId }: { whisperId: string }): Promise<LadderStep> {
      const spawn = await spawns.underWay(whisperId);
      if (hasEnded(spawn)) throw new DomainError('CONFLICT', `${whisperId} has ended`);
      return stepOf(spawn);
    },

    /** Compares the draft with every persona. @returns whether it is new */
    async judgeNovelty({ whisperId, draft }: DraftInput): Promise<{ novel: boolean; nearest?: Nearest }> {
      const spawn = await spawns.underWay(whisperId);
      if (hasEnded(spawn)) throw new DomainError('CONFLICT', `${whisperId} has ended`);
      const drafted = await draftOf(whisperId, draft);
      const view = await fleet();
      const { ownerId } = spawn;
      const serving =
        (await embeddings.serving(ownerId)) ?? (await embeddings.models(ownerId, view.fleet.embeddings)).serving;
      const embedder = deps.embedderOf(serving.settings);
      await spawns.judging(whisperId);
      const own = await embedAll(embedder, serving.model, ownerId, drafted.persona);
      const nearest = await nearestTo(own, ownerId, serving.model);
      await spawns.judged(whisperId, drafted, { nearest, judgedBy: serving.model });
      const novel = nearest === undefined || nearest.cosine < view.fleet.spawning.mostAlike;
      return { novel, ...(nearest === undefined ? {} : { nearest }) };
    },

    /** @returns how the whisper ended where the cards have no room for one more */
    async takeRoom({ whisperId }: { whisperId: string }): Promise<SpawnEnd | null> {
      const end = await spawns.takeRoom(whisperId, (settings, agents, rates, services) =>
        roomRefusal(settings, rates, agents, whisperId, services),
      );
      return end ?? null;
    },

    /** @returns the deadline as ISO time where a person is to be asked; null where nobody is, or the whisper has ended */
    async askApproval({ whisperId, draft }: DraftInput): Promise<string | null> {
      const { spawning } = (await fleet()).fleet;
      if (spawning.approval === 'none') return null;
      return spawns.awaitApproval(whisperId, durationSeconds(spawning.deadline), await draftOf(whisperId, draft));
    },

    /** The birth. @returns null where the draft no longer stands alone and another is needed */
    async bearPersona(input: DraftInput & { memoryIds: string[] }): Promise<SpawnEnd | Unjudged | null> {
      const { name, persona, traits, maskSeed } = await draftOf(input.whisperId, input.draft);
      const view = await fleet();
      const end = await spawns.giveBirth({
        whisperId: input.whisperId,
        persona: { name, persona, traits, maskSeed },
        memoryIds: input.memoryIds,
        policy: view.fleet.spawning,
        fleetVersion: view.version,
      });
      if (end === 'unjudged') return { state: 'unjudged' };
      return end === 'fallen' ? null : end;
    },

    async refuseWhisper({
      whisperId,
      state,
      ...refusal
    }: { whisperId: string; state: 'refused' | 'expired' } & Refusal): Promise<SpawnEnd> {
      return spawns.refuse(whisperId, refusal, state);
    },
  };

  async function stepOf({ parent }: OpenSpawn): Promise<LadderStep> {
    const view = await fleet();
    const queue = view.queues.get(parent.modelId);
    if (queue === undefined) throw new DomainError('CONFLICT', `fleet.yaml names no model ${parent.modelId}`);
    return decide({ agentId: parent.id, wantedModelId: parent.modelId, queue }, view);
  }

  async function draftOf(whisperId: string, draft: number): Promise<DraftedPersona> {
    const drafted = await steps.read<DraftedPersona>({ workId: whisperId, step: personaStep(draft) });
    if (!drafted) throw new DomainError('NOT_FOUND', `${whisperId} has no draft ${draft}`);
    return drafted;
  }

  /** The text's vector, after those of personas that have none yet. */
  async function embedAll(embedder: Embedder, model: string, ownerId: string, text: string): Promise<Float32Array> {
    const context = Context.current();
    for (;;) {
      const missing = await embeddings.missingPersonas({ ownerId, model, limit: embeddedAtOnce });
      if (missing.length === 0) break;
      await embedAndKeep(embeddings, embedder, missing, context.cancellationSignal);
      context.heartbeat();
    }
    const [vector] = await embedder.embed([text], context.cancellationSignal);
    // Stored too: the birth compares with those that are born meanwhile.
    await embeddings.putAhead(model, [{ ownerId, contentHash: contentHash(text), vector: vector! }]);
    return vector!;
  }

  async function nearestTo(own: Float32Array, ownerId: string, model: string): Promise<Nearest | undefined> {
    let nearest: Nearest | undefined;
    for (let after = ''; ; ) {
      const rows = await embeddings.personas({ ownerId, model, after, limit: readAtOnce });
      for (const { agentId, vector } of rows) {
        const alike = cosine(own, vectorOf(vector));
        if (nearest === undefined || alike > nearest.cosine) nearest = { agentId, cosine: alike };
      }
      if (rows.length < readAtOnce) return nearest;
      after = rows.at(-1)!.agentId;
      Context.current().heartbeat();
    }
  }
}
export type SpawnActivities = ReturnType<typeof createSpawnActivities>;

function hasEnded(spawn: OpenSpawn | SpawnEnd): spawn is SpawnEnd {
  return 'state' in spawn;
}
