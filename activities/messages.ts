import { durationSeconds } from '../domain/durations.ts';
import { DomainError } from '../domain/errors.ts';
import { type LadderStep, talkPriority } from '../domain/ladder.ts';
import { answerStep } from '../domain/messages.ts';
import type { MessageState } from '../domain/states.ts';
import { talkQueue } from '../domain/task-queues.ts';
import type { MachineStore } from '../stores/machines.ts';
import type { AnswerStep, MessageEnd, MessageStore, NewMessage, OpenMessage } from '../stores/messages.ts';
import type { PlanStore } from '../stores/plans.ts';
import type { RunStore } from '../stores/runs.ts';
import type { StepResultStore } from '../stores/step-results.ts';
import type { FleetReader, FleetView } from './fleet-view.ts';
import { createLadder } from './ladder.ts';

/** Time limits of a message in milliseconds, fixed when it begins. */
export interface MessageLimits {
  heartbeatTimeout: number;
  callTimeout: number;
  scheduleToStart: number;
  waitFor: number;
}

export type BeganAnswer =
  | { kind: 'open'; messageId: string; step: LadderStep; limits: MessageLimits }
  | { kind: 'ended'; messageId: string; state: MessageState; reason: string };

/** A person waits: nobody having taken the message is asked about sooner than for background work. */
const longestScheduleToStartMs = 5_000;

export function createMessageActivities(deps: {
  messages: MessageStore;
  runs: RunStore;
  steps: StepResultStore;
  machines: MachineStore;
  plans: PlanStore;
  fleet: FleetReader;
}) {
  const { messages, steps, machines, fleet } = deps;
  const decide = createLadder(deps);

  return {
    /** Writes the message and finds its first rung: where it is known that nobody serves the model, nothing waits to find out. */
    async beginAnswer(input: NewMessage): Promise<BeganAnswer> {
      const view = await fleet();
      const begun = await messages.begin(input, (modelId) => {
        const queue = view.queues.get(modelId);
        return queue === undefined ? undefined : talkQueue(queue);
      });
      if (begun.kind === 'ended') return begun;
      const { limits, talk } = view.fleet;
      return {
        kind: 'open',
        messageId: input.messageId,
        step: await stand(begun.message, view),
        limits: {
          heartbeatTimeout: durationSeconds(limits.heartbeatTimeout) * 1000,
          callTimeout: durationSeconds(limits.callTimeout) * 1000,
          scheduleToStart: Math.min(durationSeconds(limits.scheduleToStart) * 1000, longestScheduleToStartMs),
          waitFor: durationSeconds(talk.waitFor) * 1000,
        },
      };
    },

    /** Nobody took the message in time, or it waits: asks the leases and the plan where it stands on its ladder. */
    async climbAnswer({ messageId }: { messageId: string }): Promise<LadderStep> {
      const message = await messages.open(messageId);
      if (!message) throw new DomainError('CONFLICT', `message ${messageId} has ended`);
      const view = await fleet();
      const step = await stand(message, view);
      // What is to come may never come, and a person waits: after a while it counts as nobody's.
      if (step.kind === 'park' || message.ageSeconds < durationSeconds(view.fleet.talk.waitFor)) return step;
      const { queue, modelId } = step.rung;
      if ((await machines.list()).some(({ alive, polls }) => alive && polls.includes(queue))) return step;
      const reason = `no living machine serves ${modelId} yet`;
      await messages.waits(messageId, reason);
      return { kind: 'park', reason };
    },

    /**
     * Stores what the inference step brought, and what the agent remembers of it, and ends the message: one transaction.
     * @returns `answering` where a person has had forgotten what the answer was made of: it is to be asked for anew
     */
    async storeAnswer({ messageId }: { messageId: string }): Promise<MessageState> {
      const { spawning } = (await fleet()).fleet;
      const step = await steps.read<AnswerStep>({ workId: messageId, step: answerStep });
      return messages.complete(messageId, step, spawning);
    },

    async endMessage({ messageId, ...end }: { messageId: string } & MessageEnd): Promise<void> {
      await messages.end(messageId, end);
    },
  };

  async function stand(message: OpenMessage, view: FleetView): Promise<LadderStep> {
    const step = await decide(message, view, talkQueue);
    if (step.kind === 'park') {
      await messages.waits(message.messageId, step.reason);
      return step;
    }
    await messages.moveTo(message.messageId, step.rung);
    return { kind: 'work', rung: { ...step.rung, priority: talkPriority } };
  }
}
export type MessageActivities = ReturnType<typeof createMessageActivities>;
