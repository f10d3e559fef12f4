import type { Command } from 'commander';
import type { FleetChange } from '../../domain/fleet-changes.ts';
import { fleetChangeLines } from '../../domain/fleet-change-lines.ts';
import { confirm, good, line, printJson, table } from '../output.ts';
import { type MachineView, stateWords, versionWords } from '../fleets.ts';
import { sessionOf, wholeNumber } from '../program.ts';
import { machineJoinCommands } from './machine-joins.ts';
import { modelVersionCommands } from './model-versions.ts';

interface Applied {
  changes: FleetChange[];
  version: number | null;
}
interface Offer {
  name: string;
  fileGiB: number;
  fleetModelId: string | null;
  modelId: string;
  tokensPerSecond: number;
  secondsPerAgent: number;
  basis: string;
}
interface Model {
  id: string;
  class: string;
  vramGiB: number;
  smaller: string | null;
  agents: number;
  machines: Array<{ machineId: string; slots: number; idleSince: string | null }>;
}

export function machineCommands(program: Command): void {
  const machine = program.command('machine').description('machines of the fleet');

  machine
    .command('list')
    .description('machines with what they poll and until when their lease runs')
    .action(async (_options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const page = await client.list<MachineView>('/machines', {}, 1000);
      if (json) return printJson(page);
      line(
        table(page.items, [
          ['MACHINE', (row) => row.id],
          ['RUNS AS', (row) => row.runsAs],
          ['STATE', stateWords],
          ['AGENTS', (row) => row.agents],
          ['LEASE UNTIL', (row) => row.leaseUntil],
          ['fleet.yaml', versionWords],
          ['POLLS', (row) => row.polls.join(', ') || '-'],
        ]),
      );
    });

  machine
    .command('add')
    .argument('<id>', 'id of a new or an existing machine')
    .requiredOption('--model-server <url>', 'its model server, such as http://10.0.0.5:11434/v1')
    .option('--gpu <card>', 'card of a new machine as name:GiB, such as "RTX 4090:24"')
    .option('--kind <kind>', 'ollama, vllm, llamacpp or openai; default: what answers there says')
    .option('--sequences <n>', 'most sequences at once', wholeNumber)
    .option('--dry-run', 'say what would change; change nothing')
    .description('use a box that runs a model server; its worker may run anywhere')
    .action(
      async (
        id: string,
        options: { modelServer: string; gpu?: string; kind?: string; sequences?: number; dryRun?: boolean },
        command: Command,
      ) => {
        const session = sessionOf(command);
        const { modelServer, gpu, kind, sequences, dryRun = false } = options;
        const body = { id, modelServer, gpu, kind, sequences };
        const applied = await applyAsked(session, '/machines', body, dryRun);
        if (applied && !session.json) line(`Run its worker: soulfra worker --machine ${id}`);
      },
    );

  machineJoinCommands(machine);

  const models = program.command('models').description('models of the fleet and of this host');
  modelVersionCommands(models);

  models
    .command('list')
    .description('models of fleet.yaml and where the plan keeps them')
    .action(async (_options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const page = await client.list<Model>('/models', {}, 1000);
      if (json) return printJson(page);
      line(
        table(page.items, [
          ['MODEL', (model) => model.id],
          ['CLASS', (model) => model.class],
          ['VRAM GiB', (model) => model.vramGiB],
          ['SMALLER', (model) => model.smaller],
          ['AGENTS', (model) => model.agents],
          [
            'ON (slots)',
            (model) =>
              model.machines
                .map(({ machineId, slots, idleSince }) =>
                  idleSince === null
                    ? `${machineId} (${slots})`
                    : `${machineId} (${slots}, idle since ${idleSince.slice(0, 19)}Z)`,
                )
                .join(', ') || '-',
          ],
        ]),
      );
    });

  models
    .command('offers')
    .description('what an Ollama on the API’s host has installed, with the time it would take; nothing is pulled')
    .action(async (_options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const offers = await client.get<{ machineId: string; items: Offer[] }>('/models/offers');
      if (json) return printJson(offers);
      if (offers.items.length === 0) return line('No Ollama with an installed model answers on the API’s host.');
      line(
        table(offers.items, [
          ['INSTALLED', (offer) => offer.name],
          ['GiB', (offer) => offer.fileGiB],
          ['IN fleet.yaml', (offer) => offer.fleetModelId],
          ['TOKENS/S', (offer) => `~${offer.tokensPerSecond}`],
          ['SECONDS AN AGENT', (offer) => `~${offer.secondsPerAgent}`],
        ]),
      );
      line(`(${offers.items[0]!.basis}; measured once it runs)  Use: soulfra models use ollama --agents 5`);
    });

  models
    .command('use')
    .argument('<server>', 'ollama')
    .requiredOption('--agents <n>', 'how many agents it serves', wholeNumber)
    .option('--model <name>', 'as Ollama calls it; default: the fastest installed one that fits')
    .option('--dry-run', 'say what would change; change nothing')
    .description('have an installed model serve so many agents; 0 gives them back')
    .action(async (server: string, options: { agents: number; model?: string; dryRun?: boolean }, command: Command) => {
      const session = sessionOf(command);
      const { agents, model, dryRun = false } = options;
      const applied = await applyAsked<Applied & { machineId: string; offer: Offer; worker: string }>(
        session,
        '/models/use',
        { server, agents, model },
        dryRun,
      );
      if (!applied || session.json) return;
      const { offer, machineId, worker } = applied;
      line(`${offer.name} on ${machineId}: about ${offer.secondsPerAgent} s an agent (${offer.basis})`);
      if (worker === 'start by hand' && !dryRun) line(`Run its worker: soulfra worker --machine ${machineId}`);
    });
}

/** Shows what would change, asks, and does it. @returns nothing where the answer was no */
async function applyAsked<T extends Applied>(
  session: ReturnType<typeof sessionOf>,
  path: string,
  body: object,
  dryRun: boolean,
): Promise<T | undefined> {
  const planned = await session.client.post<T>(path, body, { dryRun: true });
  if (!session.json) {
    line(planned.changes.length === 0 ? 'Nothing changes.' : fleetChangeLines(planned.changes).join('\n'));
  }
  if (dryRun) {
    if (session.json) printJson(planned);
    return planned;
  }
  if (planned.changes.length > 0 && !(await confirm('Apply?', session))) return undefined;
  const applied = await session.client.post<T>(path, body);
  if (session.json) printJson(applied);
  else if (applied.version !== null) line(`${good('✔')} version ${applied.version}`);
  return applied;
}
