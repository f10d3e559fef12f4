import { apiDefinitions, installationDefinitions } from './metrics/api-definitions.ts';
import { createMetrics, createRegistry } from './metrics/registry.ts';

export type ApiMetrics = ReturnType<typeof createApiMetrics>;

/** The API's own registry: itself, and the figures of the whole installation. */
export function createApiMetrics() {
  const registry = createRegistry({ part: 'api' });
  return {
    registry,
    ...createMetrics(registry, apiDefinitions),
    installation: createMetrics(registry, installationDefinitions),
  };
}
