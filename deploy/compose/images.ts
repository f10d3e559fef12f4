/**
 * Every image of the kit and its version, in this one place. Upgrades go one by one, Temporal one minor at a time and its schema
 * first (docs/deploy.md). Whoever runs a registry of their own puts its name before them by SOULFRA_REGISTRY in `.env`.
 */
export const images = {
  // Postgres with pgBackRest: made by deploy/images/build.ts of `postgresBase`.
  postgres: 'soulfra-postgres:18.1-bookworm',
  redis: 'redis:8.2.3-bookworm',
  temporal: 'temporalio/server:1.31.2',
  temporalTools: 'temporalio/admin-tools:1.31.2',
  temporalUi: 'temporalio/ui:2.50.1',
  proxy: 'caddy:2.10.2',
  prometheus: 'prom/prometheus:v3.7.3',
  alertmanager: 'prom/alertmanager:v0.29.0',
  grafana: 'grafana/grafana:12.3.0',
  loki: 'grafana/loki:3.6.0',
  collector: 'grafana/alloy:v1.11.3',
  nodeExporter: 'prom/node-exporter:v1.10.2',
  postgresExporter: 'prometheuscommunity/postgres-exporter:v0.18.1',
  redisExporter: 'oliver006/redis_exporter:v1.80.0',
  gpuExporter: 'utkuozdemir/nvidia_gpu_exporter:1.4.1',
  modelServer: 'ollama/ollama:0.13.0',
} as const;
export type ImageName = keyof typeof images;

/** What ours is made of. */
export const postgresBase = 'postgres:18.1-bookworm';

/** As it stands in a compose file. */
export function imageOf(name: ImageName): string {
  return `\${SOULFRA_REGISTRY:-}${images[name]}`;
}

/** Ours; made by deploy/images/build.ts under the version of the checkout. */
export const ownImage = '${SOULFRA_IMAGE:?run soulfra deploy init}';

/** That one, Postgres and pgBackRest together: what makes backups and tries to restore them. */
export const backupImage = '${SOULFRA_BACKUP_IMAGE:?run soulfra deploy init}';
/** `soulfra-backup:1` of `soulfra:1`. */
export const backupImageOf = (image: string) => image.replace(/(?::[^:/]+)?$/, (tag) => `-backup${tag}`);
