import { readInventory } from '../config/imports/inventory-reading.ts';
import type { InventoryRequest } from '../config/imports/inventory.ts';
import type { Inventory } from '../domain/readiness-inventory.ts';
import { runRepositoryTools } from '../integrations/repository-tools/repository-tools.ts';

/** What `soulfra readiness --local` judges by, with everything down too: the repository as it lies here, and the tools of this host. */
export function readInventoryHere(request: InventoryRequest): Promise<Inventory> {
  return readInventory(request, runRepositoryTools, new AbortController().signal);
}
