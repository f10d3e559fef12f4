import { parse, stringify } from 'yaml';
import { workerMetricsPorts } from '../../domain/metrics-ports.ts';
import type { DeploySite } from '../../domain/deploy-site.ts';
import type { Places } from './places.ts';
import { generatedHead } from './server-files.ts';

/** Prometheus, Loki, Grafana and the collector of each machine. Machines send; nobody dials into them. */

interface ScrapeJob {
  job_name: string;
  metrics_path?: string;
  static_configs: [{ targets: string[] }];
}

/** @param shipped deploy/prometheus/prometheus.yaml: what it says of rules and intervals holds here, too */
export function prometheusYaml(shipped: string, site: DeploySite, places: Places): string {
  const { global } = parse(shipped) as { global: object };
  const job = (job_name: string, target: string): ScrapeJob => ({ job_name, static_configs: [{ targets: [target] }] });
  const config = {
    global,
    rule_files: [places.config('rules/*.yaml')],
    alerting: { alertmanagers: [{ static_configs: [{ targets: [`${places.host('alertmanager')}:9093`] }] }] },
    // Workers, cards and hosts come from the collectors, under the names of jobs that the alerts know.
    scrape_configs: [
      job('soulfra-api', `${places.host('api')}:${site.fleet.metrics.port}`),
      job('temporal-server', `${places.host('temporal')}:8000`),
      job('postgres', `${places.host('postgres-exporter')}:9187`),
      job('redis', `${places.host('redis-exporter')}:9121`),
      job('prometheus', 'localhost:9090'),
    ],
  };
  return `# ${generatedHead}\n${stringify(config)}`;
}

export function lokiYaml(places: Places): string {
  const data = places.data('loki');
  const config = {
    auth_enabled: false,
    server: {
      http_listen_address: places.inner,
      http_listen_port: 3100,
      grpc_listen_address: '127.0.0.1',
      log_level: 'warn',
    },
    common: {
      path_prefix: data,
      instance_addr: '127.0.0.1',
      replication_factor: 1,
      ring: { kvstore: { store: 'inmemory' } },
      storage: { filesystem: { chunks_directory: `${data}/chunks`, rules_directory: `${data}/rules` } },
    },
    schema_config: {
      configs: [
        {
          from: '2026-01-01',
          store: 'tsdb',
          object_store: 'filesystem',
          schema: 'v13',
          index: { prefix: 'index_', period: '24h' },
        },
      ],
    },
    limits_config: { retention_period: '720h', reject_old_samples: false },
    compactor: { working_directory: `${data}/compactor`, retention_enabled: true, delete_request_store: 'filesystem' },
    analytics: { reporting_enabled: false },
  };
  return `# ${generatedHead}\n${stringify(config)}`;
}

export function grafanaDatasources(places: Places): string {
  const source = (name: string, type: string, port: number, more: object = {}) => ({
    name,
    uid: type,
    type,
    access: 'proxy',
    url: `http://${places.host(type)}:${port}`,
    ...more,
  });
  const config = {
    apiVersion: 1,
    datasources: [
      source('Prometheus', 'prometheus', 9090, {
        isDefault: true,
        jsonData: { httpMethod: 'POST', timeInterval: '15s' },
      }),
      source('Loki', 'loki', 3100),
    ],
  };
  return `# ${generatedHead}\n${stringify(config)}`;
}

/** What a machine sends of itself: figures of its worker, its cards and its host, and the lines of all its containers. */
export function collectorConfig(site: DeploySite, machineId: string, places: Places, logs: string): string {
  const machine = site.fleet.machines.find(({ id }) => id === machineId)!;
  const worker = workerMetricsPorts(site.fleet, machineId);
  const targets: [job: string, port: number][] = [
    ['soulfra-workers', worker.own],
    ['temporal-core', worker.core],
    ['node', 9100],
    ...(machine.gpus.length > 0 && machine.modelServer?.url !== undefined ? [['gpu', 9835] as [string, number]] : []),
  ];
  const tls = [
    '    tls_config {',
    `      ca_file     = ${JSON.stringify(places.tls('ca.crt'))}`,
    `      cert_file   = ${JSON.stringify(places.tls(`${machineId}.crt`))}`,
    `      key_file    = ${JSON.stringify(places.tls(`${machineId}.key`))}`,
    '      server_name = "proxy.soulfra"',
    '    }',
  ];
  const to = `https://${site.addresses[site.coordination.id]}:${site.ports.telemetry}`;
  const labels = `{ machine = ${JSON.stringify(machineId)} }`;
  return [
    `// ${generatedHead}`,
    'logging {',
    '  level = "warn"',
    '}',
    '',
    'prometheus.remote_write "coordination" {',
    `  external_labels = ${labels}`,
    '  endpoint {',
    `    url = "${to}/api/v1/write"`,
    ...tls,
    '  }',
    '}',
    '',
    'prometheus.scrape "machine" {',
    '  targets = [',
    ...targets.map(([job, port]) => `    { "__address__" = "127.0.0.1:${port}", "job" = "${job}" },`),
    '  ]',
    '  scrape_interval = "15s"',
    '  forward_to      = [prometheus.remote_write.coordination.receiver]',
    '}',
    '',
    'loki.write "coordination" {',
    `  external_labels = ${labels}`,
    '  endpoint {',
    `    url = "${to}/loki/api/v1/push"`,
    ...tls,
    '  }',
    '}',
    '',
    'local.file_match "lines" {',
    `  path_targets = [{ "__path__" = ${JSON.stringify(logs)} }]`,
    '}',
    '',
    'loki.source.file "lines" {',
    '  targets    = local.file_match.lines.targets',
    '  forward_to = [loki.process.lines.receiver]',
    '}',
    '',
    'loki.process "lines" {',
    '  stage.docker {}',
    '  forward_to = [loki.write.coordination.receiver]',
    '}',
    '',
  ].join('\n');
}

/**
 * The one place that browsers come to, and the one that machines send figures and lines to: that takes nobody without a certificate
 * of ours. Temporal's UI and Grafana have no sign-in of their own here; the API says who may see them.
 */
export function proxyConfig(site: DeploySite, places: Places): string {
  const { ports, host, standby, fleet, addresses } = site;
  // A standby that has taken over is dialled at its own address, where nobody has given them both a name.
  const later = standby === undefined || fleet.deploy.host !== undefined ? [] : [addresses[standby.id]!];
  const hosts = [host, ...later].map((each) => `https://${each}:${ports.https}`).join(', ');
  const own = `tls ${places.tls('proxy.crt')} ${places.tls('proxy.key')}`;
  const signedIn = [
    `    forward_auth ${places.host('api')}:17000 {`,
    // A cheap question that only an operator is answered.
    '      uri /v1/restore-drills?limit=1',
    // Both ends must answer: what a handler here leaves open would go on to what is guarded.
    '      @nobody status 401',
    '      handle_response @nobody {',
    '        redir @page /?then={uri} 302',
    '        respond "sign in first" 401',
    '      }',
    '    }',
  ];
  const bind = places.listen.includes('0.0.0.0') ? [] : [`  bind ${places.listen.join(' ')}`];
  return [
    `# ${generatedHead}`,
    '{',
    '  admin off',
    '  auto_https off',
    '  persist_config off',
    '  log {',
    '    level WARN',
    '  }',
    // Who dials an address names no server, and would be shown no certificate at all.
    '  default_sni proxy.soulfra',
    // One site has this port, so no name can lead round its certificates; collectors dial an address.
    `  servers :${ports.telemetry} {`,
    '    strict_sni_host insecure_off',
    '  }',
    '}',
    '',
    `${hosts} {`,
    ...bind,
    `  ${own}`,
    '  header Strict-Transport-Security "max-age=31536000"',
    // What a person opens, and not what a page of theirs fetches.
    '  @page header Accept *text/html*',
    '  handle /temporal* {',
    ...signedIn,
    `    reverse_proxy ${places.host('temporal-ui')}:8080`,
    '  }',
    '  handle /grafana* {',
    ...signedIn,
    `    reverse_proxy ${places.host('grafana')}:3000`,
    '  }',
    '  handle {',
    `    reverse_proxy ${places.host('api')}:17000`,
    '  }',
    '}',
    '',
    `https://:${ports.telemetry} {`,
    ...bind,
    `  ${own} {`,
    '    client_auth {',
    '      mode require_and_verify',
    `      trust_pool file ${places.tls('ca.crt')}`,
    '    }',
    '  }',
    '  handle /api/v1/write {',
    `    reverse_proxy ${places.host('prometheus')}:9090`,
    '  }',
    '  handle /loki/api/v1/push {',
    `    reverse_proxy ${places.host('loki')}:3100`,
    '  }',
    '  handle {',
    '    respond 404',
    '  }',
    '}',
    '',
  ].join('\n');
}
