import { assessConfiguration } from './readiness-configuration.ts';
import { assessContainers } from './readiness-containers.ts';
import { assessCode } from './readiness-modules.ts';
import { assessDistribution, assessPackages } from './readiness-places.ts';
import {
  assessData,
  assessObservability,
  assessOperations,
  assessResources,
  assessSecurity,
  byTool,
  secretPlaces,
} from './readiness-running.ts';
import { type Finding, type ReadinessArea, readinessAreas, settled } from './readiness.ts';
import type { Inventory } from './readiness-inventory.ts';

/** Each sees the whole inventory and says what its area lacks; none needs another's word. */
const assessors: Record<ReadinessArea, (inventory: Inventory) => Finding[]> = {
  work_packages: assessPackages,
  distribution: assessDistribution,
  configuration: assessConfiguration,
  code: assessCode,
  security: assessSecurity,
  resources: assessResources,
  observability: assessObservability,
  containers: (inventory) => [
    ...assessContainers(inventory),
    ...byTool(inventory.tools, 'hadolint', 'dockerfile-by-tool', secretPlaces(inventory)),
    ...byTool(inventory.tools, 'compose schema', 'compose-by-schema'),
  ],
  data: assessData,
  operations: assessOperations,
};

/** What one assessor finds, each once, the gravest first. */
export function assessArea(area: ReadinessArea, inventory: Inventory): Finding[] {
  return settled(assessors[area](inventory));
}

export function assessAll(inventory: Inventory): Finding[] {
  return settled(readinessAreas.flatMap((area) => assessArea(area, inventory)));
}
