import type { Command } from 'commander';
import { ago, bold, dim, line, plain, printJson, styledState, table, warn } from '../output.ts';
import { limitOption, sessionOf } from '../program.ts';
import { serviceRunCommands } from './service-runs.ts';
import { serviceTokenCommand } from './service-tokens.ts';

interface Service {
  id: string;
  kind: string;
  state: string;
  reason: string;
  machineId: string | null;
  why: string;
  required: boolean;
  needsGpu: boolean;
  vramGiB: number | null;
  ports: Array<{ name: string; port: number; derived?: string }>;
  address: string | null;
  changedAt: string;
  retiredAt: string | null;
}

interface ShownService extends Service {
  dependants: string[];
  spec: {
    command?: string[];
    image?: string;
    dependsOn: string[];
    models?: Array<{ model: string; tokensPerDay: number }>;
    healthCheck?: { kind: string; port?: number; path?: string; command?: string[] };
    source: string;
    unresolved?: string[];
  };
}

export function serviceCommands(program: Command): void {
  const services = program.command('services').description('processes of yours that are not ours, as fleet.d says');

  limitOption(services.command('list').description('services of fleet.d, where each is placed and how it does'))
    .option('--state <state>', 'those in one state')
    .option('--machine <machine>', 'those placed there')
    .option('--retired', 'those that no file names any more')
    .action(
      async (
        { limit, state, machine, retired }: { limit: number; state?: string; machine?: string; retired?: true },
        command: Command,
      ) => {
        const { client, json } = sessionOf(command);
        const page = await client.list<Service>('/services', { state, machineId: machine, retired }, limit);
        if (json) return printJson(page);
        line(
          table(page.items, [
            ['SERVICE', (service) => service.id],
            ['STATE', (service) => styledState(service.state)],
            ['MACHINE', (service) => service.machineId ?? '-'],
            ['PORTS', (service) => service.ports.map(({ port }) => port).join(', ') || '-'],
            ['ADDRESS', (service) => service.address ?? '-'],
            ['GPU', gpuWords],
            ['REQUIRED', (service) => (service.required ? 'yes' : 'no')],
            ['REASON', (service) => service.reason || '-'],
          ]),
        );
      },
    );

  services
    .command('show')
    .argument('<service>', 'id of the service')
    .description('one service: what the files say of it, where it is and why')
    .action(async (id: string, _options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const service = await client.get<ShownService>(`/services/${encodeURIComponent(id)}`);
      if (json) return printJson(service);
      for (const text of shownLines(service)) line(text);
    });

  serviceRunCommands(services);
  serviceTokenCommand(services);
}

function gpuWords({ needsGpu, vramGiB }: Service): string {
  if (!needsGpu) return '-';
  return vramGiB === null ? 'yes' : `${vramGiB} GiB`;
}

function shownLines(service: ShownService): string[] {
  const { spec, dependants } = service;
  const check = spec.healthCheck;
  const gone = service.retiredAt === null ? '' : warn(` no file names it since ${ago(service.retiredAt)}`);
  const reason = service.reason === '' ? '' : `: ${plain(service.reason)}`;
  return [
    `${bold(service.id)} ${service.kind} ${styledState(service.state)}${reason} ${dim(ago(service.changedAt))}${gone}`,
    ...(service.address === null ? [] : [`address ${service.address}`]),
    `machine ${service.machineId ?? 'none'}${service.why === '' ? '' : `: ${plain(service.why)}`}`,
    ...(spec.command === undefined ? [] : [`command ${plain(spec.command.join(' '))}`]),
    ...(spec.image === undefined ? [] : [`image ${plain(spec.image)}`]),
    ...service.ports.map(
      ({ name, port, derived }) => `port ${port} ${name}${derived === undefined ? '' : dim(` ${derived}`)}`,
    ),
    ...(check === undefined
      ? []
      : [`health ${[check.kind, check.port, check.path, ...(check.command ?? [])].filter(Boolean).join(' ')}`]),
    `GPU ${gpuWords(service)} · required ${service.required ? 'yes' : 'no'} · from ${plain(spec.source)}`,
    ...(spec.models ?? []).map(({ model, tokensPerDay }) => `asks ${plain(model)}, ${tokensPerDay} tokens a day`),
    ...(spec.dependsOn.length === 0 ? [] : [`needs ${spec.dependsOn.join(', ')}`]),
    ...(dependants.length === 0 ? [] : [`needed by ${dependants.join(', ')}`]),
    ...(spec.unresolved ?? []).map((open) => warn(`open: ${plain(open)}`)),
  ];
}
