import { Context } from '@temporalio/activity';
import { durationSeconds } from '../domain/durations.ts';
import type { EgoMintStore } from '../stores/ego-minting.ts';
import type { FleetReader } from './fleet-view.ts';

export interface EgoOfDay {
  owners: number;
  facts: number;
  /** Micro-ego. */
  minted: number;
  decayed: number;
}

export function createEgoActivities({ egoMints, fleet }: { egoMints: EgoMintStore; fleet: FleetReader }) {
  return {
    /**
     * Has what lineages hold over their opening fade and mints what facts have earned since the last time: batch by batch, each
     * entry once by its transfer id, so that a second execution goes on where the first broke off.
     */
    async settleEgoDay({ day }: { day: string }): Promise<EgoOfDay> {
      const context = Context.current();
      const { ego, market } = (await fleet()).fleet;
      const beat = (at: unknown) => {
        context.cancellationSignal.throwIfAborted();
        context.heartbeat(at);
      };
      const done: EgoOfDay = { owners: 0, facts: 0, minted: 0, decayed: 0 };
      for (const ownerId of await egoMints.owners()) {
        const settled = (await egoMints.settled({ ownerId, day })) ?? (await settle(ownerId));
        done.owners += 1;
        done.facts += settled.facts;
        done.minted += settled.minted;
        done.decayed += settled.decayed;
      }
      return done;

      async function settle(ownerId: string) {
        const hold = durationSeconds(market.payouts.hold);
        let after: string | undefined = '';
        while (after !== undefined) {
          const lineages: string[] = await egoMints.lineagesAfter(ownerId, after);
          for (const lineageId of lineages) {
            await egoMints.decay({ ownerId, day }, lineageId, ego);
            beat({ ownerId, lineageId });
          }
          after = lineages.at(-1);
        }
        while ((await egoMints.mint({ ownerId, day }, ego, hold)) > 0) beat({ ownerId });
        return egoMints.settle({ ownerId, day }, hold);
      }
    },
  };
}
export type EgoActivities = ReturnType<typeof createEgoActivities>;
