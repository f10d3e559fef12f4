import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import type { Fleet } from '../../domain/fleet.ts';
import type { WorkerMetricsPorts } from '../../domain/metrics-ports.ts';
import { type Env, type Home, writeJson, writeText } from './home.ts';
import { isReady, repositoryRoot } from './own-parts.ts';
import type { Parts, PartSpec } from './parts.ts';
import type { Ports } from './ports.ts';
import { onPath } from './resolve.ts';
import type { Screen } from './screen.ts';

/** Of figures on one disk with all else; whoever wants years of them scrapes with a Prometheus of their own. */
const kept = { time: '30d', size: '2GB' };
const source = join(repositoryRoot, 'deploy', 'prometheus');

export const prometheusPartName = 'prometheus';

/** What fleet.yaml said of metrics when a process started: it serves by that until it is started anew. */
export type Served = Pick<Fleet['metrics'], 'enabled' | 'host'>;

/** It is told of what serves metrics as that comes; what serves none is not asked. */
export interface Scraped {
  port: number;
  scrapeApi(served: Served): void;
  /** Our own metrics of a worker, and those of Temporal Core; a worker that is started again is told again. */
  scrapeWorker(machineId: string, ports: WorkerMetricsPorts, served: Served): void;
}

interface Deps {
  home: Home;
  env: Env;
  ports: Pick<Ports, 'prometheus' | 'apiMetrics' | 'temporalMetrics'>;
  parts: Parts;
  screen: Screen;
  /** Whether Temporal's server is ours: one outside has its metrics where we do not know. */
  ownTemporal: boolean;
}

/** Prometheus with our rules beside the stack. Where it is not installed or does not come up it says so, and all else goes on. */
export async function startPrometheus(deps: Deps): Promise<Scraped | undefined> {
  const { home, env, ports, screen } = deps;
  const step = screen.step('Prometheus');
  const binary = onPath('prometheus', env);
  if (binary === undefined) {
    step.fail(`is not installed; all else goes on without it. This brings it: ${mendFor(env)}`);
    return undefined;
  }
  const folder = home.path('prometheus');
  mkdirSync(folder, { recursive: true });
  const workers = new Map<string, { own: string; core: string }>();
  const writeApi = (targets: readonly string[]) => writeJson(join(folder, 'api.json'), targetsAt(targets));
  const writeWorkers = () => {
    const all = [...workers.values()];
    writeJson(join(folder, 'workers.json'), targetsAt(all.map(({ own }) => own)));
    writeJson(join(folder, 'core.json'), targetsAt(all.map(({ core }) => core)));
  };
  writeApi([]);
  writeWorkers();
  const config = join(folder, 'prometheus.yaml');
  writeText(
    config,
    prometheusConfig({
      api: join(folder, 'api.json'),
      temporal: deps.ownTemporal ? ports.temporalMetrics : undefined,
      self: ports.prometheus,
      workers: join(folder, 'workers.json'),
      core: join(folder, 'core.json'),
    }),
    0o644,
  );
  try {
    await deps.parts.start(prometheusPart({ binary, config, folder, port: ports.prometheus, env }));
  } catch (err) {
    step.fail(`${err instanceof Error ? err.message : String(err)}; all else goes on without it`);
    return undefined;
  }
  step.done(
    `:${ports.prometheus}  (\`prometheus\` is on PATH; alerts show on its page, an Alertmanager is yours to add)`,
  );
  return {
    port: ports.prometheus,
    scrapeApi({ enabled, host }) {
      writeApi(enabled ? [addressAt(host, ports.apiMetrics)] : []);
      if (!enabled) step.fail('metrics are off: metrics.enabled in fleet.yaml; what serves none is not scraped');
    },
    scrapeWorker(machineId, { own, core }, { enabled, host }) {
      if (enabled) workers.set(machineId, { own: addressAt(host, own), core: addressAt(host, core) });
      else workers.delete(machineId);
      writeWorkers();
    },
  };
}

function mendFor(env: Env): string {
  if (process.platform === 'darwin') return 'brew install prometheus';
  if (onPath('apt-get', env)) return 'sudo apt-get install -y --no-install-recommends prometheus';
  return 'put `prometheus` on PATH (https://prometheus.io/download)';
}

function targetsAt(targets: readonly string[]) {
  return targets.length === 0 ? [] : [{ targets }];
}

/** Where one on this host asks for what is served at an address. */
function addressAt(host: string, port: number): string {
  const asked = { '0.0.0.0': '127.0.0.1', '::': '::1' }[host] ?? host;
  return `${asked.includes(':') ? `[${asked}]` : asked}:${port}`;
}

interface PrometheusConfig {
  rule_files: string[];
  alerting?: unknown;
  scrape_configs: Array<{ job_name: string; static_configs?: unknown; file_sd_configs?: unknown }>;
}

export interface ScrapeTargets {
  /** Ports on this host; of the API also a file with its target. */
  api: number | string;
  temporal: number | undefined;
  self: number;
  /** Files with the targets of workers, which come and go. */
  workers: string;
  core: string;
  /** Host and port; undefined: nobody is told. */
  alertmanager?: string;
  /** @default as in the file */
  interval?: string;
}

/** deploy/prometheus/prometheus.yaml with the ports of this start in place of those of the first block. */
export function prometheusConfig(at: ScrapeTargets): string {
  const read = parse(readFileSync(join(source, 'prometheus.yaml'), 'utf8')) as PrometheusConfig & { global: object };
  const { alerting: _, ...config } = read;
  const here = (port: number) => ({ static_configs: targetsAt([addressAt('127.0.0.1', port)]) });
  const named = (file: string) => ({ file_sd_configs: [{ files: [file], refresh_interval: '5s' }] });
  const places: Record<string, object | undefined> = {
    'soulfra-api': typeof at.api === 'string' ? named(at.api) : here(at.api),
    'soulfra-workers': named(at.workers),
    'temporal-core': named(at.core),
    'temporal-server': at.temporal === undefined ? undefined : here(at.temporal),
    prometheus: here(at.self),
  };
  const changed = {
    ...config,
    global: {
      ...config.global,
      ...(at.interval && { scrape_interval: at.interval, evaluation_interval: at.interval }),
    },
    rule_files: config.rule_files.map((file) => join(source, file)),
    ...(at.alertmanager && { alerting: { alertmanagers: [{ static_configs: [{ targets: [at.alertmanager] }] }] } }),
    scrape_configs: config.scrape_configs.flatMap(({ static_configs: _targets, ...job }) => {
      const place = places[job.job_name];
      return place === undefined ? [] : [{ ...job, ...place }];
    }),
  };
  return `# Made at each start from deploy/prometheus/prometheus.yaml.\n${stringify(changed)}`;
}

function prometheusPart(of: { binary: string; config: string; folder: string; port: number; env: Env }): PartSpec {
  return {
    name: prometheusPartName,
    order: 5,
    command: of.binary,
    args: [
      `--config.file=${of.config}`,
      `--storage.tsdb.path=${join(of.folder, 'data')}`,
      `--storage.tsdb.retention.time=${kept.time}`,
      `--storage.tsdb.retention.size=${kept.size}`,
      `--web.listen-address=127.0.0.1:${of.port}`,
      '--log.level=warn',
    ],
    env: of.env,
    stopSignal: 'SIGTERM',
    graceMs: 10_000,
    startAttempts: 2,
    readyWithinMs: 30_000,
    ready: () => isReady(`http://127.0.0.1:${of.port}/-/ready`),
  };
}
