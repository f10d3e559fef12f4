import { bornOutside, type LivingAgent } from './fleet-changes.ts';
import { type Fleet, type FleetAgent, fleetAgents } from './fleet.ts';
import { personaOf } from './personas.ts';

type Override = Fleet['agents'][string];

/**
 * The fleet as it lives, to be written back as a file: where an agent has come to differ from what the file would give
 * birth to, an override says so, so that the file on an empty database makes the same fleet again.
 */
export function livingFleet(fleet: Fleet, living: readonly LivingAgent[]): Fleet {
  const rows = new Map(living.filter(({ state }) => state !== 'retired').map((agent) => [agent.id, agent]));
  const agents: Fleet['agents'] = { ...fleet.agents };
  for (const agent of fleetAgents(fleet)) {
    const row = rows.get(agent.id);
    if (row === undefined) continue;
    const override = differing(agent, row);
    if (Object.keys(override).length > 0) agents[agent.id] = { ...fleet.agents[agent.id], ...override };
  }
  return { ...fleet, agents };
}

/** What the file cannot bring back, told where the file ends: nobody shall take it for the whole fleet. */
export function bornOutsideLines(living: readonly LivingAgent[]): string[] {
  const others = living.filter(bornOutside);
  if (others.length === 0) return [];
  return [
    `Not in this file: ${others.length} living agents born outside it. An apply leaves them alone; elsewhere they are not born.`,
    ...others.map(({ id, origin, name }) => `  ${id} (${origin}): ${name.replaceAll(/\s+/g, ' ')}`),
  ];
}

/** Name and persona are written out as soon as anything differs, since both are made from the rest. */
function differing(agent: FleetAgent, row: LivingAgent): Override {
  const born = personaOf(agent);
  const changed: Override = {
    ...(row.maskSeed === born.maskSeed ? {} : { maskSeed: row.maskSeed }),
    ...(JSON.stringify(row.traits) === JSON.stringify(born.traits) ? {} : { traits: [...row.traits] }),
  };
  if (Object.keys(changed).length === 0 && row.name === born.name && row.persona === born.persona) return {};
  return { name: row.name, persona: row.persona, ...changed };
}
