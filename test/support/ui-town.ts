import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { repositoryRoot } from '../../deploy/embedded/own-parts.ts';
import { placementInputOf } from '../../domain/placement-input.ts';
import { planPlacement } from '../../domain/placement.ts';
import { isInService } from '../../domain/states.ts';
import { currentFleet } from '../../stores/fleets.ts';
import { listMachines } from '../../stores/machines.ts';
import { measuredRates, placementAgents } from '../../stores/placement.ts';
import { createPlanStore } from '../../stores/plans.ts';
import type { ApiFixture } from './api.ts';

/** The shipped fleet with its 297 agents, as the first apply makes it: its machines are there, its plan applied, and one agent remembers. */
export async function seedUiTown(api: ApiFixture): Promise<void> {
  const source = readFileSync(join(repositoryRoot, 'fleet.yaml'), 'utf8');
  const applied = await api.call('POST', '/v1/fleet/apply', { body: { source } });
  expect(applied.status, applied.text).toBe(200);
  await api.db.updateTable('machines').set({ state: 'ready', epoch: 1 }).execute();
  await replanUiTown(api);
  const lines = ['The ferry bell hung crooked this morning.', 'Two boats were moored where one belongs.'].map(
    (text, i) =>
      JSON.stringify({
        agentId: 'vesper-001',
        text,
        importance: 5,
        externalKey: `ui-${i}`,
        occurredAt: '2026-11-20T08:00:00Z',
      }),
  );
  const told = await api.call('POST', '/v1/memories', {
    raw: lines.join('\n'),
    headers: { 'content-type': 'application/x-ndjson' },
  });
  expect(told.status, told.text).toBeLessThan(300);
}

/** The plan for the machines that are in service, computed and applied as `replanFleet` does. */
export async function replanUiTown({ db, ownerId }: ApiFixture): Promise<void> {
  const plans = createPlanStore(db);
  await plans.requestReplan({ ownerId, reason: 'test' });
  const { version } = await db
    .selectFrom('plans')
    .select('version')
    .where('state', '=', 'planned')
    .executeTakeFirstOrThrow();
  await plans.compute(version, async (tx) => {
    const { version: fleetVersion, fleet } = (await currentFleet(tx))!;
    const alive = (await listMachines(tx)).filter(isInService);
    const plan = planPlacement(
      placementInputOf(fleet, {
        aliveMachineIds: new Set(alive.map(({ id }) => id)),
        measuredRates: await measuredRates(tx),
        agents: await placementAgents(tx),
      }),
    );
    return { fleetVersion, plan };
  });
  expect(await plans.markApplied(version)).toBe(true);
}
