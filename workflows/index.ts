export { applyRetention } from './apply-retention.ts';
export { checkFleetHealth } from './check-fleet-health.ts';
export { drainMachine } from './drain-machine.ts';
export { reflectAgent } from './reflect-agent.ts';
export { reflectFleet } from './reflect-fleet.ts';
export { reembedMemories } from './reembed-memories.ts';
export { replanFleet } from './replan-fleet.ts';
export { spawnPersona } from './spawn-persona.ts';
