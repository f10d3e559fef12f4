import { ApplicationFailure } from '@temporalio/activity';
import { ApplicationFailureCategory } from '@temporalio/common';
import { durationSeconds } from '../domain/durations.ts';
import { isDomainError } from '../domain/errors.ts';
import type { DropDeliveryState } from '../domain/states.ts';
import { NotReady } from '../integrations/channels/asking.ts';
import { type KeptChannel, type Posting, postKey } from '../integrations/channels/posting.ts';
import type { ChannelStore } from '../stores/channels.ts';
import type { DeliveryStore, PostRules, PostTurn } from '../stores/deliveries.ts';
import { wordsFor } from '../stores/drops.ts';
import { beating } from './beating.ts';
import type { FleetReader } from './fleet-view.ts';

export interface DeliveryDeps {
  deliveries: DeliveryStore;
  channels: ChannelStore;
  posting: Posting;
  fleet: FleetReader;
  /** For tests: what to wait in place of what was ruled. */
  waitSeconds?: (ruled: number) => number;
}

export function createDeliveryActivities({
  deliveries,
  channels,
  posting,
  fleet,
  waitSeconds = (ruled) => ruled,
}: DeliveryDeps) {
  return {
    /**
     * One attempt to post a drop on one channel, or none where it is not its turn. It is done until the delivery has ended: what
     * is to be done later fails with the time to wait, and the same activity comes again. A second execution finds the attempt
     * of the first.
     */
    async tryPost({ deliveryId }: { deliveryId: string }): Promise<{ state: DropDeliveryState }> {
      // Not ended by a cancellation: a request that was cut off is one in doubt.
      return beating(async () => ended(await attempted(deliveryId)));
    },
  };

  async function attempted(deliveryId: string): Promise<PostTurn> {
    const rules = await postRules();
    const turn = await deliveries.turn(deliveryId, rules);
    if (turn.kind !== 'post') return turn;
    const { channel: kept, words, ...delivery } = turn.post;
    const { ownerId, channelId, kind, again } = delivery;
    const channel: KeptChannel = { ...kept, id: channelId, ownerId, kind };
    const spoken = wordsFor(kind, words);
    if (kept.stage === 'dry_run') {
      const rehearsed = await deliveries.begin(deliveryId, posting.text(channel, spoken, undefined), rules);
      return rehearsed.kind === 'begun' ? leftDryRun(deliveryId, rehearsed.attempt) : rehearsed;
    }
    let session: string | undefined;
    try {
      const prepared = await posting.prepare(channel);
      ({ session } = prepared);
      if (prepared.keep) await channels.keepSession(channelId, { sealed: kept.sealed, session: prepared.keep });
    } catch (err) {
      if (!isDomainError(err)) throw err;
      const { status, waitSeconds, ofService, stopChannel } = err instanceof NotReady ? err.answer : {};
      return deliveries.deferred(deliveryId, { reason: err.message, status, waitSeconds, ofService, stopChannel });
    }
    const text = posting.text(channel, spoken, session);
    const beganAt = Date.now();
    const begun = await deliveries.begin(deliveryId, text, rules);
    if (begun.kind !== 'begun') return begun;
    const answer = await posting.post(
      channel,
      session,
      {
        dropId: delivery.drop.id,
        agentId: words.agentId,
        title: words.title,
        narration: words.narration,
        text: begun.text,
        at: delivery.createdAt,
        key: postKey(kind, deliveryId, again),
        attempt: begun.attempt,
      },
      { beganAt, mayLeave: () => deliveries.refuseStopped(deliveryId, begun.attempt, kept.sealed) },
    );
    return deliveries.end(deliveryId, begun.attempt, answer);
  }

  /** Between the two looks its channel left dry run: what was prepared for a rehearsal is not sent. */
  function leftDryRun(deliveryId: string, attempt: number): Promise<PostTurn> {
    return deliveries.end(deliveryId, attempt, { outcome: 'deferred', reason: 'the channel left dry run meanwhile' });
  }

  async function postRules(): Promise<PostRules> {
    const { lateAfter, lateSpacing, missedAfter } = (await fleet()).fleet.drops;
    return {
      lateAfter: durationSeconds(lateAfter),
      lateSpacing: durationSeconds(lateSpacing),
      missedAfter: durationSeconds(missedAfter),
    };
  }

  function ended(turn: PostTurn): { state: DropDeliveryState } {
    if (turn.kind === 'ended') return { state: turn.state };
    const { seconds, reason } = turn.kind === 'wait' ? turn : { seconds: 0, reason: 'its turn' };
    throw ApplicationFailure.create({
      type: 'UNAVAILABLE',
      message: reason,
      nextRetryDelay: Math.max(50, Math.ceil(waitSeconds(seconds) * 1000)),
      // Waiting is what it does; the log of the worker need not say so each time.
      category: ApplicationFailureCategory.BENIGN,
    });
  }
}
export type DeliveryActivities = ReturnType<typeof createDeliveryActivities>;
