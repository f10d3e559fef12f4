import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { type FleetMap, fleetMapMarkdown } from '../../domain/fleet-map.ts';
import type { Client } from '../client.ts';
import { CommandFailure, exitCodes } from '../failures.ts';
import { killMachine } from '../fleet-kill.ts';
import { type FleetView, fleetLines } from '../fleets.ts';
import { good, line, printJson, styledState, table } from '../output.ts';
import { type PlanSummary, planLines } from '../plans.ts';
import { sessionOf } from '../program.ts';

interface PlanView {
  version: number;
  state: string;
  reason: string;
  plan: PlanSummary | null;
}

interface AgentsOfModel {
  modelId: string;
  agents: number;
  reason: string;
}
interface Simulation {
  before: PlanSummary;
  after: PlanSummary;
  moves: {
    loads: Array<{ machineId: string; modelId: string }>;
    unloads: Array<{ machineId: string; modelId: string }>;
    slots: Array<{ machineId: string; modelId: string; before: number; after: number }>;
  };
  homes: Array<{ from: string; to: string; agents: number }>;
  services: Array<{ id: string; from: string | null; to: string | null; because: string }>;
  waits: AgentsOfModel[];
  degrades: AgentsOfModel[];
  parks: AgentsOfModel[];
}

export function fleetCommands(program: Command): void {
  const fleet = program.command('fleet').description('machines, agents and the plan');

  fleet
    .command('show')
    .description('machines, what they hold, how they do')
    .action(async (_options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const view = await client.get<FleetView>('/fleet');
      if (json) printJson(view);
      else line(fleetLines(view).join('\n'));
    });

  fleet
    .command('plan')
    .description('the plan that work goes by')
    .action(async (_options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const view = await client.get<PlanView>('/fleet/plan');
      if (json) return printJson(view);
      line(`Plan ${view.version} ${view.state} · ${view.reason}`);
      if (view.plan) line(planLines(view.plan).join('\n'));
      else line('It is being computed: a worker has to run for it.');
    });

  fleet
    .command('map')
    .option('--markdown', 'as a document: every agent, too')
    .description('who stands where and why: machines and services; with --markdown or --json every agent, too')
    .action(async ({ markdown }: { markdown?: true }, command: Command) => {
      const { client, json } = sessionOf(command);
      const map = await client.get<FleetMap>('/fleet/map');
      if (json) return printJson(map);
      if (markdown) return void process.stdout.write(fleetMapMarkdown(map));
      line(
        table(map.machines, [
          ['MACHINE', (machine) => machine.id],
          ['HOST', (machine) => machine.host],
          ['STATE', (machine) => styledState(machine.state)],
          ['AGENTS', (machine) => machine.agents],
          ['SERVICES', (machine) => machine.services],
        ]),
      );
      if (map.services.length === 0) return;
      line();
      line(
        table(map.services, [
          ['SERVICE', (service) => service.id],
          ['STATE', (service) => styledState(service.state)],
          ['MACHINE', (service) => service.machineId ?? '-'],
          ['ADDRESS', (service) => service.address ?? '-'],
          ['WHY', (service) => service.why],
        ]),
      );
    });

  fleet
    .command('simulate')
    .description('what would move, wait, degrade or park; changes nothing')
    .option('--lose <machine...>', 'machines that go')
    .option('--add <machine...>', 'machines that come, each as id:card:GiB, such as spare:rtx3090:24')
    .action(async ({ lose = [], add = [] }: { lose?: string[]; add?: string[] }, command: Command) => {
      const { client, json } = sessionOf(command);
      const simulation = await client.post<Simulation>('/fleet/simulate', { lose, add });
      if (json) printJson(simulation);
      else line(simulationLines(simulation).join('\n'));
    });

  fleet
    .command('kill')
    .argument('<machine>', 'id of the machine')
    .option('--no-watch', 'return as soon as it is dead')
    .description('SIGKILL its worker in the middle of a cycle and show what moves; only where `npm start` runs it')
    .action(async (id: string, { watch }: { watch: boolean }, command: Command) =>
      killMachine(sessionOf(command), id, { watch }),
    );

  for (const [verb, description] of [
    ['start', 'start the worker of a killed machine again; only where `npm start` runs it'],
    ['drain', 'take a machine out of service in order'],
    ['undrain', 'take a drained machine back in'],
  ] as const) {
    fleet
      .command(verb)
      .argument('<machine>', 'id of the machine')
      .option('--dry-run', 'check only')
      .description(description)
      .action(async (id: string, { dryRun }: { dryRun?: boolean }, command: Command) => {
        const { client, json } = sessionOf(command);
        const waitsFor = verb === 'start' && !dryRun ? await client.get<MachineAnswer>(`/machines/${id}`) : undefined;
        const asked = await client.post<MachineAnswer>(`/machines/${id}/${verb}`, {}, { dryRun });
        const answer = waitsFor ? await joined(client, id, waitsFor.epoch!) : asked;
        if (json) printJson(answer);
        else line(answer.would === undefined ? `${good('✔')} ${verb} ${id}: ${answer.state}` : `would ${answer.would}`);
      });
  }
}

interface MachineAnswer {
  state?: string;
  alive?: boolean;
  epoch?: number;
  would?: string;
}

const joinsWithinMs = 30_000;

/** The process was started; the machine is there once its worker holds a lease under another epoch than the last. */
async function joined(client: Client, id: string, lastEpoch: number): Promise<MachineAnswer> {
  for (const startedAt = Date.now(); ; await sleep(250)) {
    const machine = await client.get<MachineAnswer>(`/machines/${id}`);
    if (machine.alive && machine.epoch! > lastEpoch) return machine;
    if (Date.now() - startedAt > joinsWithinMs) {
      throw new CommandFailure(`${id} was started and has not taken its lease within ${joinsWithinMs / 1000} s`, {
        exitCode: exitCodes.failed,
        mend: 'Look into .soulfra/logs.',
      });
    }
  }
}

function simulationLines({ before, after, moves, homes, services, waits, degrades, parks }: Simulation): string[] {
  const agents = (groups: AgentsOfModel[], verb: string) =>
    groups.map(({ modelId, agents: count, reason }) => `${verb} ${count} of ${modelId}: ${reason}`);
  const changes = [
    ...moves.loads.map(({ machineId, modelId }) => `load ${modelId} on ${machineId}`),
    ...moves.unloads.map(({ machineId, modelId }) => `unload ${modelId} from ${machineId}`),
    ...moves.slots.map((slot) => `slots of ${slot.modelId} on ${slot.machineId}: ${slot.before} → ${slot.after}`),
    ...homes.map(({ from, to, agents: count }) => `move ${count} agents from ${from} to ${to}`),
    ...services.map(({ id, from, to, because }) =>
      to === null
        ? `down: service ${id}: ${because}`
        : `place service ${id} on ${to}${from === null ? '' : `, from ${from}`}`,
    ),
    ...agents(waits, 'wait:'),
    ...agents(degrades, 'degrade:'),
    ...agents(parks, 'park:'),
  ];
  return [
    'before',
    ...planLines(before),
    '',
    'what moves',
    ...(changes.length === 0 ? ['  nothing'] : changes.map((change) => `  ${change}`)),
    '',
    'after',
    ...planLines(after),
  ];
}
