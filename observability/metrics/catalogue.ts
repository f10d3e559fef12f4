import { apiDefinitions, installationDefinitions } from './api-definitions.ts';
import type { MetricDefinition, partLabels } from './definition.ts';
import { workerDefinitions } from './worker-definitions.ts';

export interface CataloguedMetric extends MetricDefinition {
  /** Whose endpoint exports it. */
  part: keyof typeof partLabels;
}

/** Every metric of ours, in the order of docs/observability.md. Temporal Core's own are on a port of their own. */
export const metricCatalogue: readonly CataloguedMetric[] = [
  ...Object.values({ ...apiDefinitions, ...installationDefinitions }).map((metric) => ({
    ...metric,
    part: 'api' as const,
  })),
  ...Object.values(workerDefinitions).map((metric) => ({ ...metric, part: 'worker' as const })),
];
