import type { Inventory } from '../../domain/readiness-inventory.ts';

/** Of a repository in which nothing was found. */
export const emptyInventory: Inventory = {
  machines: [],
  services: [],
  fleetPorts: [],
  workPackages: [],
  containers: [],
  images: [],
  units: [],
  conflicts: [],
  oldCopies: [],
  variablesSet: [],
  variablesMissing: [],
  marks: [],
  modules: [],
  languagesUnread: [],
  namesUsed: [],
  runbooks: [],
  backups: [],
  scrapes: [],
  live: [],
  stops: [],
  tools: [],
  skipped: [],
};
