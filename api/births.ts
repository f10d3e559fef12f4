import type { Fleet } from '../domain/fleet.ts';
import { DomainError } from '../domain/errors.ts';
import type { Admission } from '../stores/personas.ts';
import type { Principal } from '../stores/principals.ts';
import { findFleet, type OwnFleet } from '../stores/queries/fleets.ts';
import { type ApiContext, fleetOf } from './context.ts';
import { overloadOf } from './persona-import.ts';

/**
 * Under which fleet an agent of this caller is born, and as what. Who runs the fleet adds to it, where the cards keep up. A creator
 * brings an agent along to sell it: it is dormant, so it costs no card anything, and there are only so many.
 * @throws NOT_FOUND before the first apply
 */
export async function birthTerms(
  context: ApiContext,
  { ownerId, role }: Principal,
): Promise<{ version: number; fleet: Fleet; admission: Admission }> {
  if (role === 'operator') {
    const { version, fleet } = await fleetOf(context, ownerId);
    return { version, fleet, admission: { refuseOverload: overloadOf(fleet) } };
  }
  const { version, fleet } = await fleetAround(context, ownerId);
  return { version, fleet, admission: { mostDormant: fleet.people.agentsPerCreator } };
}

/** The caller's own fleet, else the one that runs here: its models and their terms hold for the agents of creators, too. */
export async function fleetAround(
  { db, fleets }: Pick<ApiContext, 'db' | 'fleets'>,
  ownerId: string,
): Promise<Pick<OwnFleet, 'version' | 'fleet'>> {
  const around = (await findFleet(db, ownerId)) ?? (await fleets.current());
  if (around === undefined) throw new DomainError('NOT_FOUND', 'no fleet.yaml has been applied yet');
  return around;
}

/** @throws AGENT_RETIRED · AGENT_DORMANT for who does no work */
export function refuseIdle({ id, state }: { id: string; state: string }): void {
  if (state === 'retired') throw new DomainError('AGENT_RETIRED', `${id} is retired`);
  if (state === 'dormant') throw new DomainError('AGENT_DORMANT', `${id} is dormant: it is sold, and not run here`);
}
