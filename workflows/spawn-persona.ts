import {
  allHandlersFinished,
  ApplicationFailure,
  CancellationScope,
  condition,
  defineUpdate,
  isCancellation,
  patched,
  proxyActivities,
  proxyLocalActivities,
  setCurrentDetails,
  setHandler,
} from '@temporalio/workflow';
import type { InferenceActivities } from '../activities/inference.ts';
import type { BegunSpawn, SpawnActivities } from '../activities/spawns.ts';
import { restartPriority } from '../domain/ladder.ts';
import { decideWhisperUpdate, type WhisperDecision } from '../domain/messages.ts';
import type { SpawnEnd } from '../domain/whispers.ts';
import { climbLadder, climbSummary, onRung, reasonOf } from './inference-ladder.ts';

export interface SpawnPersonaInput {
  whisperId: string;
}
export type SpawnPersonaResult = SpawnEnd;

const { beginDraft, askApproval, bearPersona, refuseWhisper } = proxyLocalActivities<SpawnActivities>({
  startToCloseTimeout: '10 seconds',
  retry: { maximumInterval: '2 seconds' },
});
const { climbSpawn } = proxyLocalActivities<SpawnActivities>({
  startToCloseTimeout: '10 seconds',
  retry: { maximumInterval: '2 seconds' },
  summary: climbSummary,
});
/** These leave the database: they ask the embedder, or compute a plan. */
function leavingTheDatabase(summary: string) {
  return proxyActivities<SpawnActivities>({
    startToCloseTimeout: '10 minutes',
    heartbeatTimeout: '1 minute',
    // An embedder that stays away must not hold a place in the lineage for good.
    scheduleToCloseTimeout: '1 hour',
    retry: { maximumInterval: '10 seconds' },
    summary,
  });
}
const { beginSpawn } = leavingTheDatabase('what the parent remembers of the whisper');
const { judgeNovelty } = leavingTheDatabase('the draft held against every persona');
const { takeRoom } = leavingTheDatabase('room for one more on the cards');
const decide = defineUpdate<SpawnEnd, [WhisperDecision]>(decideWhisperUpdate);
/** A draft that waited for a person is judged again before it is born. */
const judgedAfterWait = 'judged-after-wait';
/** Times that one draft is held against those born meanwhile. */
const mostJudgements = 5;
/** A parked draft looks again this often even if nobody tells it to. */
const parkedLookMs = 60_000;

/**
 * From an admitted whisper to one whole persona or none: what the parent remembers → drafts until one is new → room on the
 * cards → a person's word, where one is asked for → the birth, which is one transaction.
 */
export async function spawnPersona({ whisperId }: SpawnPersonaInput): Promise<SpawnPersonaResult> {
  /** By draft: a person says yes to the persona that was shown, and another draft is shown anew. The first word stands. */
  const decisions = new Map<number, WhisperDecision>();
  let current = 1;
  let end: SpawnEnd | undefined;
  setHandler(decide, async (decision) => {
    if (!decisions.has(decision.draft)) decisions.set(decision.draft, decision);
    await condition(() => end !== undefined || current > decision.draft);
    if (end === undefined) throw ApplicationFailure.nonRetryable('another draft is shown by now', 'CONFLICT');
    return end;
  });
  try {
    end = await spawn();
  } catch (err) {
    end = await CancellationScope.nonCancellable(() => refuse(codeOf(err), reasonOf(err)));
  }
  await CancellationScope.nonCancellable(() => condition(allHandlersFinished));
  return end;

  async function spawn(): Promise<SpawnEnd> {
    const begun = await beginSpawn({ whisperId });
    if (begun.kind === 'ended') return begun.end;
    const { memoryIds } = begun;
    let nearest = '';
    for (let draft = 1; draft <= begun.drafts; draft += 1) {
      current = draft;
      const composed = await compose(draft, begun);
      if (composed !== undefined) return composed;
      nearest = await alike(draft);
      if (nearest !== '') continue;
      const full = await takeRoom({ whisperId });
      if (full !== null) return full;
      const word = await approval(draft);
      if (typeof word !== 'string') return word;
      const borne = await bear(draft, memoryIds, word);
      if (typeof borne !== 'string') return borne;
      nearest = borne;
    }
    return refuse('TOO_ALIKE', `${begun.drafts} drafts stood too near to personas there are: ${nearest}`);
  }

  /** Has a machine write a draft. @returns how the whisper ended, where it did */
  async function compose(draft: number, begun: Extract<BegunSpawn, { kind: 'open' }>): Promise<SpawnEnd | undefined> {
    const placed = await beginDraft({ whisperId, draft });
    if (placed.kind === 'ended') return placed.end;
    const { limits, memoryIds } = begun;
    await climbLadder({
      step: placed.step,
      climb: () => climbSpawn({ whisperId }),
      async call(rung) {
        const { composePersona } = proxyActivities<InferenceActivities>(onRung(rung, limits));
        const { modelId, queue } = rung;
        await composePersona({ whisperId, draft, name: placed.name, memoryIds, modelId, queue });
      },
      parkedFor: limits.parkedFor,
      lookEvery: parkedLookMs,
      restartPriority,
    });
    return undefined;
  }

  /** @returns what the draft is too alike to; empty where it is new */
  async function alike(draft: number): Promise<string> {
    const { novel, nearest } = await judgeNovelty({ whisperId, draft });
    return novel ? '' : `the nearest is ${nearest?.agentId}, cosine ${nearest?.cosine.toFixed(3)}`;
  }

  /** The birth of a draft that was found to be new. @returns why another is needed, where the whisper has not ended */
  async function bear(draft: number, memoryIds: string[], word: 'approved' | 'unasked'): Promise<SpawnEnd | string> {
    // A person may take days. Its vector does not stay that long, and others were born.
    let again = word === 'approved' && patched(judgedAfterWait);
    for (let judgements = 1; judgements <= mostJudgements; judgements += 1) {
      const nearest = again ? await alike(draft) : '';
      if (nearest !== '') return nearest;
      const borne = await bearPersona({ whisperId, draft, memoryIds });
      if (borne === null) return 'one like it was born meanwhile';
      if (borne.state !== 'unjudged') return borne;
      again = true;
    }
    return `each of ${mostJudgements} times that it was judged others were born meanwhile`;
  }

  /** Waits for a person where one is to be asked. */
  async function approval(draft: number): Promise<SpawnEnd | 'approved' | 'unasked'> {
    const deadline = await askApproval({ whisperId, draft });
    if (deadline === null) return 'unasked';
    setCurrentDetails(
      `**Waits for a person** until ${deadline}\n\n\`soulfra whispers approve ${whisperId}\` or \`refuse\``,
    );
    await condition(() => decisions.has(draft), Math.max(0, Date.parse(deadline) - Date.now()));
    setCurrentDetails('');
    const decision = decisions.get(draft);
    if (decision === undefined) return refuse('APPROVAL_EXPIRED', `nobody decided until ${deadline}`, 'expired');
    return decision.approve ? 'approved' : refuse('NOT_APPROVED', decision.reason);
  }

  function refuse(
    code: Parameters<typeof refuseWhisper>[0]['code'],
    reason: string,
    state: 'refused' | 'expired' = 'refused',
  ): Promise<SpawnEnd> {
    return refuseWhisper({ whisperId, state, code, reason });
  }
}

function codeOf(err: unknown): 'CANCELED' | 'NO_MACHINE' | 'FAILED' {
  if (isCancellation(err)) return 'CANCELED';
  return err instanceof ApplicationFailure && err.type === 'PARKED_TOO_LONG' ? 'NO_MACHINE' : 'FAILED';
}
