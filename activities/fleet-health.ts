import type { MachineStore } from '../stores/machines.ts';

export function createFleetHealthActivities({ machines }: { machines: MachineStore }) {
  return {
    judgeLeases: () => machines.judgeLeases(),
  };
}
export type FleetHealthActivities = ReturnType<typeof createFleetHealthActivities>;
