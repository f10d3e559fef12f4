import { type Fleet, fleetAgents } from '../../domain/fleet.ts';
import { personaOf } from '../../domain/personas.ts';
import type { NewAgent } from '../../stores/agents.ts';

/** The rows a fleet gives birth to. */
export function bornAgents(fleet: Fleet): NewAgent[] {
  return fleetAgents(fleet).map((agent) => ({
    id: agent.id,
    ...personaOf(agent),
    archetype: agent.archetype.id,
    cadence: agent.cadence,
    modelId: agent.model,
    leastClass: agent.leastClass,
    mayDegrade: agent.mayDegrade,
    priority: agent.priority,
    tokensPerDay: agent.tokensPerDay,
    expectedTokens: agent.expectedTokens,
    importanceThreshold: agent.importanceThreshold,
  }));
}
