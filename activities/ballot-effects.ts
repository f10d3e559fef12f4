import {
  type Client,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
} from '@temporalio/client';
import type { EffectKind, EffectOf } from '../domain/ballots.ts';
import { DomainError } from '../domain/errors.ts';
import { dropWorkflowId, inviteWorkflowId, spawnWorkflowId } from '../domain/ids.ts';
import { inviteChangedSignal } from '../domain/invites.ts';
import { decideWhisperUpdate, rowsChangedSignal } from '../domain/messages.ts';
import type { SpawnEnd } from '../domain/whispers.ts';
import type { BallotRow } from '../stores/ballot-rows.ts';
import type { BallotStore } from '../stores/ballots.ts';
import { shareOutPools } from '../stores/blessings.ts';
import { decideDrop } from '../stores/drops.ts';
import { closeGuildByBallot, ruleGuild } from '../stores/guild-rules.ts';
import type { SpawnStore } from '../stores/spawns.ts';
import { beating } from './beating.ts';

/** Carries a kind of effect out; done twice it is done once. @returns what was done, in words */
type Handler<Kind extends EffectKind> = (effect: EffectOf<Kind>, ballot: BallotRow) => Promise<string>;
type Handlers = { [Kind in EffectKind]: Handler<Kind> };

/** A birth takes as long as its drafts; whoever waits for it asks again. */
const birthWithinMs = 20_000;

export function createBallotEffectActivities(deps: { ballots: BallotStore; spawns: SpawnStore; client: Client }) {
  const { ballots, spawns, client } = deps;

  const handlers: Handlers = {
    none: () => Promise.resolve(''),

    async spawn_approval({ whisperId, draft }, { id }) {
      const end = (await endOf(whisperId)) ?? (await approve(whisperId, draft, id));
      if (end.state !== 'spawned') throw new DomainError('CONFLICT', `${whisperId} is ${end.state}: ${end.reason}`);
      return `${end.agentId} was born`;
    },

    blessing_share: (_effect, { id, ownerId }) =>
      ballots.carryOut(id, async (tx) => {
        const { blessings: received, shared } = await shareOutPools(tx, ownerId, `ballot:${id}`);
        const pools = shared.map(({ shared: amount, pool, currency }) => `${amount} of ${pool} ${currency}`);
        return pools.length === 0 ? 'there was nothing to share' : `${pools.join(', ')} for ${received} blessings`;
      }),

    async drop_approval({ dropId, version }, { id, ownerId, winner }) {
      const done = await ballots.carryOut(id, async (tx) => {
        const state = await decideDrop(tx, { ownerId, id: dropId }, { by: id, version, approve: winner === 1 });
        return `${dropId} is ${state}`;
      });
      await tell(dropWorkflowId(dropId), rowsChangedSignal);
      return done;
    },

    guild_rule: ({ rule }, ballot) =>
      ballots.carryOut(ballot.id, async (tx) => {
        const guildId = guildOf(ballot);
        await ruleGuild(tx, { guildId, ballotId: ballot.id }, rule);
        return `${guildId} has ruled ${rule.name} ${rule.value}`;
      }),

    async guild_close(_effect, ballot) {
      const guildId = guildOf(ballot);
      let ended: string[] = [];
      const done = await ballots.carryOut(ballot.id, async (tx) => {
        ended = await closeGuildByBallot(tx, { guildId, ballotId: ballot.id });
        return `${guildId} is closed`;
      });
      for (const inviteId of ended) await tell(inviteWorkflowId(inviteId), inviteChangedSignal);
      return done;
    },
  };

  return {
    /** @throws what refuses the effect for good; all else is tried again */
    async carryOut({ ballotId }: { ballotId: string }): Promise<string> {
      const ballot = await ballots.find(ballotId);
      if (ballot.state !== 'passed' && ballot.state !== 'carried_out')
        throw new DomainError('CONFLICT', `${ballotId} is ${ballot.state}`);
      return beating(() => handle(ballot.effect.kind, ballot));
    },
  };

  function handle<Kind extends EffectKind>(kind: Kind, ballot: BallotRow): Promise<string> {
    return handlers[kind](ballot.effect as EffectOf<Kind>, ballot);
  }

  function guildOf({ id, guildId }: BallotRow): string {
    if (guildId === null) throw new DomainError('INTERNAL', `${id} is of no guild`);
    return guildId;
  }

  /** A workflow that has ended needs to know no more. */
  async function tell(workflowId: string, signal: string): Promise<void> {
    try {
      await client.workflow.getHandle(workflowId).signal(signal);
    } catch (err) {
      if (!(err instanceof WorkflowNotFoundError)) throw err;
    }
  }

  async function endOf(whisperId: string): Promise<SpawnEnd | undefined> {
    const spawn = await spawns.underWay(whisperId);
    return 'state' in spawn ? spawn : undefined;
  }

  /** The word on the draft that was voted on, by an Update whose id is the ballot's: said twice it is said once. */
  async function approve(whisperId: string, draft: number, ballotId: string): Promise<SpawnEnd> {
    const workflow = client.workflow.getHandle(spawnWorkflowId(whisperId));
    try {
      return await client.withDeadline(Date.now() + birthWithinMs, () =>
        workflow.executeUpdate<SpawnEnd, [{ draft: number; approve: true }]>(decideWhisperUpdate, {
          args: [{ draft, approve: true }],
          updateId: ballotId,
        }),
      );
    } catch (err) {
      if (err instanceof WorkflowUpdateFailedError)
        throw new DomainError('CONFLICT', `${whisperId} shows another draft than the one that was voted on`, {
          cause: err,
        });
      if (err instanceof WorkflowNotFoundError) {
        const end = await endOf(whisperId);
        if (end !== undefined) return end;
        throw new DomainError('CONFLICT', `the workflow of ${whisperId} is gone`, { cause: err });
      }
      if (err instanceof WorkflowUpdateRPCTimeoutOrCancelledError)
        throw new DomainError('UNAVAILABLE', `${whisperId} is being born still`, { cause: err });
      throw err;
    }
  }
}
export type BallotEffectActivities = ReturnType<typeof createBallotEffectActivities>;
