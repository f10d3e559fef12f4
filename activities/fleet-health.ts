import type { HealthStore, SchedulesSeen } from '../stores/health.ts';
import type { MachineStore } from '../stores/machines.ts';

export interface FleetHealthDeps {
  machines: MachineStore;
  health: HealthStore;
  /** Temporal's Schedules, as they stand. */
  schedules: () => Promise<SchedulesSeen>;
}

export function createFleetHealthActivities({ machines, health, schedules }: FleetHealthDeps) {
  return {
    judgeLeases: () => machines.judgeLeases(),

    /** Takes the looks whose time has come; one that fails holds up no other. @returns how many changes each kind had that had one */
    async judgeHealth(): Promise<Record<string, number>> {
      const counts: Record<string, number> = {};
      const failures: unknown[] = [];
      for (const look of await health.due()) {
        try {
          const changes = await health.look(look, look === 'schedules' ? await schedules() : undefined);
          for (const { kind } of changes) counts[kind] = (counts[kind] ?? 0) + 1;
        } catch (err) {
          failures.push(err);
        }
      }
      if (failures.length > 0) throw new AggregateError(failures, `looks failed: ${failures.map(String).join('; ')}`);
      return counts;
    },
  };
}
export type FleetHealthActivities = ReturnType<typeof createFleetHealthActivities>;
