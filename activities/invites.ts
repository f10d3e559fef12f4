import { durationSeconds } from '../domain/durations.ts';
import { DomainError, isDomainError } from '../domain/errors.ts';
import { type AgentAnswer, answerStep } from '../domain/invites.ts';
import { backgroundPriority, type LadderStep } from '../domain/ladder.ts';
import type { InviteStanding, InviteStore } from '../stores/invite-clock.ts';
import type { NewInvite } from '../stores/invites.ts';
import type { MachineStore } from '../stores/machines.ts';
import type { PlanStore } from '../stores/plans.ts';
import type { RunStore } from '../stores/runs.ts';
import type { StepResultStore } from '../stores/step-results.ts';
import type { FleetReader } from './fleet-view.ts';
import { createLadder } from './ladder.ts';

/** As the store takes it, but for what a payload cannot hold. */
export interface OpenInviteInput extends Omit<NewInvite, 'id' | 'tokenHash' | 'requestHash'> {
  inviteId: string;
  /** SHA-256 of a link's secret, hex. */
  tokenHash: string | null;
  /** Hex. */
  requestHash: string;
}

export interface InviteRef {
  inviteId: string;
}

/** Where an agent is asked, with the limits of a call in milliseconds. */
export type PlacedAnswer =
  | {
      kind: 'ask';
      step: LadderStep;
      limits: { heartbeatTimeout: number; callTimeout: number; scheduleToStart: number };
    }
  | { kind: 'none'; reason: string };

export function createInviteActivities(deps: {
  invites: InviteStore;
  steps: StepResultStore;
  machines: MachineStore;
  plans: PlanStore;
  runs: RunStore;
  fleet: FleetReader;
}) {
  const { invites, steps, fleet } = deps;
  const decide = createLadder(deps);

  async function stepOf(inviteId: string): Promise<LadderStep | undefined> {
    const invited = await invites.invited(inviteId);
    if (!invited) return undefined;
    const view = await fleet();
    const { id, modelId } = invited.agent;
    const queue = view.queues.get(modelId);
    return queue === undefined ? undefined : decide({ agentId: id, wantedModelId: modelId, queue }, view);
  }

  return {
    /** The first step, which writes the row; done twice it is one invitation. */
    async openInvite(input: OpenInviteInput): Promise<void> {
      const { inviteId, tokenHash, requestHash, ...invite } = input;
      const hashes = {
        tokenHash: tokenHash === null ? null : Buffer.from(tokenHash, 'hex'),
        requestHash: Buffer.from(requestHash, 'hex'),
      };
      await invites.open({ ...invite, id: inviteId, ...hashes }, (await fleet()).fleet.guilds);
    },

    readInvite: ({ inviteId }: InviteRef): Promise<InviteStanding> => invites.standing(inviteId),

    remindOfInvite: ({ inviteId, reminder }: InviteRef & { reminder: number }): Promise<void> =>
      invites.remind(inviteId, reminder),

    /** @returns milliseconds that are left by the database's clock; 0 where it has ended */
    expireInvite: ({ inviteId }: InviteRef): Promise<number> => invites.expire(inviteId),

    askOwner: ({ inviteId, reason }: InviteRef & { reason: string }): Promise<void> =>
      invites.askOwner(inviteId, reason),

    /** Where on its agent's ladder it is asked. */
    async placeAnswer({ inviteId }: InviteRef): Promise<PlacedAnswer> {
      const step = await stepOf(inviteId);
      if (step === undefined)
        return { kind: 'none', reason: 'it is retired or dormant, or fleet.yaml no longer names its model' };
      const { limits } = (await fleet()).fleet;
      return {
        kind: 'ask',
        // What only begins has waited for nobody yet.
        step: step.kind === 'work' ? { kind: 'work', rung: { ...step.rung, priority: backgroundPriority } } : step,
        limits: {
          heartbeatTimeout: durationSeconds(limits.heartbeatTimeout) * 1000,
          callTimeout: durationSeconds(limits.callTimeout) * 1000,
          scheduleToStart: durationSeconds(limits.scheduleToStart) * 1000,
        },
      };
    },

    async climbInvite({ inviteId }: InviteRef): Promise<LadderStep> {
      const step = await stepOf(inviteId);
      if (step === undefined) throw new DomainError('CONFLICT', `${inviteId} asks its agent no more`);
      return step;
    },

    /** Carries out what the agent has answered; what stands against it is for its owner to see. */
    async settleAnswer({ inviteId }: InviteRef): Promise<void> {
      const answer = await steps.read<AgentAnswer>({ workId: inviteId, step: answerStep });
      if (!answer) throw new DomainError('NOT_FOUND', `${inviteId} has no answer`);
      try {
        await invites.settle(inviteId, answer);
      } catch (err) {
        if (!isDomainError(err) || !standsAgainst.has(err.code)) throw err;
        await invites.askOwner(inviteId, `it would join (${answer.reason}), but ${err.message}`);
      }
    },
  };
}
export type InviteActivities = ReturnType<typeof createInviteActivities>;

const standsAgainst: ReadonlySet<string> = new Set([
  'GUILD_FULL',
  'FORBIDDEN',
  'CONFLICT',
  'AGENT_RETIRED',
  'NOT_FOUND',
  'INVITE_ENDED',
]);
