import type { Fleet } from '../../domain/fleet.ts';
import { addressOf, type FleetMap } from '../../domain/fleet-map.ts';
import { type ServiceSpec, storedService } from '../../domain/services.ts';
import type { AgentState, MachineState, ServiceState } from '../../domain/states.ts';
import type { Executor } from '../database.ts';
import { findCurrentPlan } from './plans.ts';

/** Names of the hosts of machines, as the file says. */
export function hostsOf(fleet: Pick<Fleet, 'machines'>): Map<string, string> {
  return new Map(fleet.machines.map(({ id, host }) => [id, host ?? id]));
}

/** All living agents and services of the owner, with the machine of each and why. */
export async function fleetMap(
  db: Executor,
  { ownerId, fleet, version }: { ownerId: string; fleet: Fleet; version: number },
): Promise<FleetMap> {
  const plan = await findCurrentPlan(db, ownerId);
  const machines = await db
    .selectFrom('machines')
    .select(['id', 'state'])
    .where('ownerId', '=', ownerId)
    .where('removedAt', 'is', null)
    .orderBy('id')
    .execute();
  const agents = await db
    .selectFrom('agents')
    .select(['id', 'name', 'state', 'modelId', 'homeMachineId', 'homeReason', 'paused'])
    .where('ownerId', '=', ownerId)
    .where('state', 'not in', ['retired', 'dormant'])
    .orderBy('id')
    .execute();
  const services = await db
    .selectFrom('services')
    .select(['id', 'spec', 'state', 'reason', 'machineId', 'placedBecause'])
    .where('ownerId', '=', ownerId)
    .where('retiredAt', 'is', null)
    .orderBy('id')
    .execute();
  const hosts = hostsOf(fleet);
  const models = new Map(
    (plan?.plan?.machines ?? []).map(({ machineId, models: own }) => [machineId, own.map(({ modelId }) => modelId)]),
  );
  const count = (machineId: string, of: ReadonlyArray<{ homeMachineId: string | null }>) =>
    of.filter(({ homeMachineId }) => homeMachineId === machineId).length;
  return {
    name: fleet.name,
    version,
    planVersion: plan?.version ?? null,
    machines: machines.map(({ id, state }) => ({
      id,
      host: hosts.get(id) ?? id,
      state: state as MachineState,
      models: [...new Set(models.get(id) ?? [])],
      agents: count(id, agents),
      services: services.filter(({ machineId }) => machineId === id).length,
    })),
    agents: agents.map(({ id, name, state, modelId, homeMachineId, homeReason, paused }) => ({
      id,
      name,
      state: state as AgentState,
      modelId,
      machineId: homeMachineId,
      why: paused ? 'paused by its operator' : homeMachineId === null ? homeReason : `${modelId} is served there`,
    })),
    services: services.map(({ id, spec, state, reason, machineId, placedBecause }) => {
      const described: ServiceSpec = storedService(spec);
      const host = machineId === null ? undefined : hosts.get(machineId);
      return {
        id,
        kind: described.kind,
        state: state as ServiceState,
        reason,
        machineId,
        why: placedBecause === '' ? 'not planned yet' : placedBecause,
        address: addressOf(described, state as ServiceState, host),
      };
    }),
  };
}
