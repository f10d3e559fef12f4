import { durationSeconds } from '../domain/durations.ts';
import { type ErrorCode, isErrorCode } from '../domain/errors.ts';
import type { LadderStep } from '../domain/ladder.ts';
import type { GatewayRequestStore } from '../stores/gateway-requests.ts';
import type { MachineStore } from '../stores/machines.ts';
import type { PlanStore } from '../stores/plans.ts';
import { type Awaited, createAwaited } from './awaited.ts';
import type { FleetReader } from './fleet-view.ts';
import { createLadder } from './ladder.ts';

/** A service asked for this model by its name: no smaller one stands in for it. */
const noAgent = { ladderAgent: () => Promise.resolve(undefined) };

export function createGatewayRequestActivities(deps: {
  gatewayRequests: GatewayRequestStore;
  machines: MachineStore;
  plans: PlanStore;
  fleet: FleetReader;
}) {
  const { gatewayRequests, machines, fleet } = deps;
  const assertAwaited = createAwaited(gatewayRequests);
  const decide = createLadder({ ...deps, runs: noAgent });

  return {
    /** Nobody took the request in time, or it waits: asks the leases and the plan where it stands. */
    async climbCompletion({
      modelId,
      queue,
      askedAt,
      ...awaited
    }: Awaited & {
      modelId: string;
      queue: string;
      askedAt: number;
    }): Promise<LadderStep> {
      await assertAwaited(awaited);
      const view = await fleet();
      const step = await decide({ agentId: '', wantedModelId: modelId, queue }, view);
      // What is to come may never come, and somebody waits: after a while it counts as nobody's.
      if (step.kind === 'park' || Date.now() - askedAt < durationSeconds(view.fleet.gateway.waitFor) * 1000)
        return step;
      if ((await machines.list()).some(({ alive, polls }) => alive && polls.includes(queue))) return step;
      return { kind: 'park', reason: `no living machine serves ${modelId} yet` };
    },

    /** An attempt came to nothing. @returns whether its reader had been shown some of it, so that the request has ended */
    cutCompletion: ({ requestId, reason }: { requestId: string; reason: string }): Promise<boolean> =>
      gatewayRequests.cutIfShown(requestId, reason),

    async failCompletion({
      requestId,
      code,
      message,
    }: {
      requestId: string;
      code: string;
      message: string;
    }): Promise<void> {
      const known: ErrorCode = isErrorCode(code) ? code : code === 'PARKED_TOO_LONG' ? 'MODEL_UNSERVED' : 'INTERNAL';
      await gatewayRequests.fail(requestId, known, message);
    },
  };
}
export type GatewayRequestActivities = ReturnType<typeof createGatewayRequestActivities>;
