import {
  ActivityFailure,
  ApplicationFailure,
  CancellationScope,
  condition,
  continueAsNew,
  defineSignal,
  isCancellation,
  proxyActivities,
  proxyLocalActivities,
  setCurrentDetails,
  setHandler,
} from '@temporalio/workflow';
import type { AnsweredInvite } from '../activities/answer-invite.ts';
import type { InferenceActivities } from '../activities/inference.ts';
import type { InviteActivities, OpenInviteInput } from '../activities/invites.ts';
import { inviteChangedSignal, inviteTurn } from '../domain/invites.ts';
import { restartPriority, type Rung } from '../domain/ladder.ts';
import type { InviteState } from '../domain/states.ts';
import { climbLadder, climbSummary, onRung, reasonOf } from './inference-ladder.ts';

export interface InviteToGuildInput extends OpenInviteInput {
  /** The row is written; a run before this one has kept the clock. */
  continued?: true;
}
export type InviteToGuildResult =
  | { inviteId: string; state: InviteState }
  /** Never sent. */
  | { inviteId: string; state: 'refused'; code: string; reason: string };

const { openInvite, readInvite, remindOfInvite, expireInvite, askOwner, placeAnswer, settleAnswer } =
  proxyLocalActivities<InviteActivities>({
    startToCloseTimeout: '10 seconds',
    retry: { maximumInterval: '2 seconds' },
  });
const { climbInvite } = proxyLocalActivities<InviteActivities>({
  startToCloseTimeout: '10 seconds',
  retry: { maximumInterval: '2 seconds' },
  summary: climbSummary,
});
const changedSignal = defineSignal(inviteChangedSignal);

/** In milliseconds. A signal that was lost, since whoever changed the row died before they sent it, is made up for by a look. */
const lookEvery = 86_400_000;
/** Looks of one run, as its history grows with each; a link may be without an end. */
const mostLooks = 200;
/** The database's clock may be behind by so much, in milliseconds, and is asked again. */
const clockStep = 1_000;
const parkedLookMs = 600_000;
/** Times that an answer may be put into its queue anew because nobody took it: its history must not outgrow its limit in the days it may take. */
const mostQueued = 200;

/**
 * One invitation, from its row to its end. Who accepts, declines, revokes or sends it again does so in one transaction of the
 * API; this keeps the clock of two reminders and the end, and asks an agent that is to answer itself.
 */
export async function inviteToGuild(input: InviteToGuildInput): Promise<InviteToGuildResult> {
  const { inviteId } = input;
  let changed = false;
  setHandler(changedSignal, () => {
    changed = true;
  });
  if (input.continued !== true) {
    try {
      await openInvite(input);
    } catch (err) {
      // A failure of a local activity comes as it is, or as the cause of one.
      const cause = err instanceof ActivityFailure ? err.cause : err;
      if (!(cause instanceof ApplicationFailure) || !cause.nonRetryable) throw err;
      return { inviteId, state: 'refused', code: cause.type ?? 'INTERNAL', reason: cause.message };
    }
  }
  const asking = new CancellationScope();
  let asked: Promise<void> | undefined;
  let isAsking = false;
  for (let looks = 1; ; looks += 1) {
    // Before the look: what changes meanwhile is looked at again.
    changed = false;
    const invite = await readInvite({ inviteId });
    if (invite.state !== 'pending') {
      asking.cancel();
      await asked;
      return { inviteId, state: invite.state };
    }
    if (invite.waitsFor === 'agent' && invite.answerBy !== null) {
      isAsking ||= asked === undefined;
      asked ??= asking
        .run(() => ask(invite.answerBy!))
        .finally(() => {
          isAsking = false;
          changed = true;
        });
    }
    // Whichever clock is ahead, so that nothing is asked for that the database finds to be over.
    const now = Math.max(Date.now(), invite.now);
    const turn = inviteTurn(invite, now);
    if (turn.kind === 'expire') {
      const left = await expireInvite({ inviteId });
      if (left > 0) await condition(() => changed, Math.min(Math.max(left, clockStep), lookEvery));
      continue;
    }
    if (turn.kind === 'remind') {
      await remindOfInvite({ inviteId, reminder: turn.reminder });
      continue;
    }
    if (looks >= mostLooks && !isAsking) await continueAsNew<typeof inviteToGuild>({ ...input, continued: true });
    const left = turn.until === null ? lookEvery : Math.min(turn.until - now, lookEvery);
    setCurrentDetails(
      `**Waits for the word of** ${invite.waitsFor === 'agent' ? 'the agent itself' : 'who was asked'}\n\n\`soulfra invite show ${inviteId}\``,
    );
    await condition(() => changed, Math.max(left, 1), { summary: 'until a reminder, its end, or an answer' });
  }

  /** Has the agent answer itself until then; whatever comes in between, its owner is asked in its place. */
  async function ask(until: number): Promise<void> {
    const reason = await unanswered(until);
    // Somebody else has answered, or time did: nobody is to be asked.
    if (reason === undefined || asking.consideredCancelled) return;
    await CancellationScope.nonCancellable(() => askOwner({ inviteId, reason }));
  }

  async function unanswered(until: number): Promise<string | undefined> {
    try {
      return await CancellationScope.withTimeout(Math.max(until - Date.now(), 1), () => answered(until));
    } catch (err) {
      return isCancellation(err) ? 'its time is over' : reasonOf(err);
    }
  }

  /** @returns why it was not answered; undefined where it was */
  async function answered(until: number): Promise<string | undefined> {
    const placed = await placeAnswer({ inviteId });
    if (placed.kind === 'none') return placed.reason;
    const left = Math.max(until - Date.now(), 1);
    const limits = {
      ...placed.limits,
      scheduleToStart: Math.max(placed.limits.scheduleToStart, Math.ceil(left / mostQueued)),
    };
    const { result } = await climbLadder<AnsweredInvite>({
      step: placed.step,
      climb: () => climbInvite({ inviteId }),
      call: (rung) => answeredBy(rung, limits),
      parkedFor: left,
      lookEvery: parkedLookMs,
      restartPriority,
    });
    setCurrentDetails('');
    if (result.kind === 'none') return result.reason;
    await settleAnswer({ inviteId });
    return undefined;
  }

  /** A smaller model in the place of its own does not speak for it. */
  async function answeredBy(rung: Rung, limits: Parameters<typeof onRung>[1]): Promise<AnsweredInvite> {
    if (rung.degraded) return { kind: 'none', reason: `only ${rung.modelId}, a smaller model than its own, is there` };
    const { answerInvite } = proxyActivities<InferenceActivities>(onRung(rung, limits));
    const { modelId, queue } = rung;
    return answerInvite({ inviteId, modelId, queue });
  }
}
