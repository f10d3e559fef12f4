import { existsSync } from 'node:fs';
import { createReadinessReadActivities, type InventoryReading } from '../activities/readiness.ts';
import type { FleetReader } from '../activities/fleet-view.ts';
import { readInventory } from '../config/imports/inventory-reading.ts';
import { isDomainError } from '../domain/errors.ts';
import { readLiveMachine } from '../integrations/live-machine.ts';
import { runRepositoryTools } from '../integrations/repository-tools/repository-tools.ts';
import { allowedFolder } from '../integrations/sources/folder-files.ts';
import { SourceFailure } from '../integrations/sources/source-reader.ts';
import type { WorkerStores } from './coordination-activities.ts';

/** Reading of repositories as this machine does it: only below the roots of its own environment, as sources are. */
export function createMachineReadinessReads({
  machineId,
  stores,
  fleet,
  folders,
  dataFolder = '.',
}: {
  machineId: string;
  stores: Pick<WorkerStores, 'readiness'>;
  fleet: FleetReader;
  folders: readonly string[];
  /** On the disk of which this is told how much is free. @default the current folder */
  dataFolder?: string | undefined;
}) {
  return createReadinessReadActivities({
    readiness: stores.readiness,
    fleet,
    readInventory: createInventoryReading(machineId, () => folders),
    readLive: () => readLiveMachine(machineId, existsSync(dataFolder) ? dataFolder : '.'),
  });
}

/** @param roots what this machine allows at that time */
export function createInventoryReading(machineId: string, roots: () => readonly string[]): InventoryReading {
  return async (repository, applied, { services, stops }, signal) => {
    try {
      const folder = await allowedFolder(repository.folder, roots());
      const request = {
        paths: [folder],
        machineFiles: repository.machineFiles,
        portRules: repository.portRules,
        machines: applied.machines,
        fleet: applied,
        described: [{ services: [...services] }],
        live: [await readLiveMachine(machineId, folder)],
        stops,
      };
      const inventory = await readInventory(request, runRepositoryTools, signal);
      return { inventory };
    } catch (err) {
      // What the owner can mend; all else is a failure of ours, and is tried again.
      if (err instanceof SourceFailure || (isDomainError(err) && err.code !== 'INTERNAL'))
        return { refused: err.message };
      throw err;
    }
  };
}
