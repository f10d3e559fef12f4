import type { FleetReader } from '../activities/fleet-view.ts';
import { createDropsReader } from '../activities/source-drops.ts';
import { createGuildReader } from '../activities/source-guilds.ts';
import { createSourceReadActivities } from '../activities/source-reads.ts';
import { createGuardedFetch } from '../integrations/guarded-fetch.ts';
import { createSourceReading } from '../integrations/sources/reading.ts';
import type { WorkerStores } from './coordination-activities.ts';

/** Reading of sources as this machine does it; folders only below the roots of its own environment. */
export function createMachineSourceReads(options: {
  machineId: string;
  stores: WorkerStores;
  fleet: FleetReader;
  sourceFolders: readonly string[];
}) {
  const { machineId, stores, fleet, sourceFolders } = options;
  const read = createSourceReading({
    guardedFetch: createGuardedFetch(),
    folders: { roots: sourceFolders },
    drops: createDropsReader({ drops: stores.sourceDrops }),
    guilds: createGuildReader({ guilds: stores.sourceGuilds }),
  });
  return createSourceReadActivities({ ...stores, fleet, machineId, read });
}
