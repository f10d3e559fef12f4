import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { writePins } from '../../config/fleet-pins.ts';
import {
  pinnedDigests,
  shortDigest,
  type SyncStep,
  syncFailed,
  type VersionState,
} from '../../domain/model-manifest.ts';
import { badInput, CommandFailure, exitCodes } from '../failures.ts';
import { bad, dim, good, line, printJson, table, warn } from '../output.ts';
import { sessionOf } from '../program.ts';
import { applyFile } from './config.ts';

interface ModelView {
  id: string;
  license: string | null;
  digests: Record<string, string[]>;
  bytes: number | null;
  machines: Array<{
    machineId: string;
    version: {
      state: VersionState;
      digest: string | null;
      bytes: number | null;
      reason: string | null;
      saidSecondsAgo: number | null;
    };
  }>;
}
type Session = ReturnType<typeof sessionOf>;

const gib = 1024 ** 3;
const fileOption = ['--file <file>', 'which fleet.yaml', 'fleet.yaml'] as const;

/** Which weights each model is served with. */
export function modelVersionCommands(models: Command): void {
  models
    .command('verify')
    .argument('[model...]', 'which; default: all')
    .description('which weights each machine serves, against fleet.yaml; 1 where one is another, or serves none')
    .action(async (ids: string[], _options: object, command: Command) => {
      const session = sessionOf(command);
      const views = await viewsOf(session, ids);
      const rows = views.flatMap(({ machines, ...model }) => machines.map((machine) => ({ ...model, ...machine })));
      if (session.json) printJson({ items: views });
      else
        line(
          table(rows, [
            ['MODEL', (row) => row.id],
            ['MACHINE', (row) => row.machineId],
            ['VERSION', (row) => stateShown(row.version.state)],
            ['SERVES', (row) => row.version.digest && shortDigest(row.version.digest)],
            ['WANTED', (row) => row.digests['ollama'] && shortDigest(row.digests['ollama'][0]!)],
            ['GiB', (row) => row.version.bytes && (row.version.bytes / gib).toFixed(2)],
            ['LICENSE', (row) => row.license],
            ['SAID', (row) => (row.version.saidSecondsAgo === null ? '-' : `${row.version.saidSecondsAgo} s ago`)],
            ['WHY', (row) => row.version.reason],
          ]),
        );
      const wrong = rows.filter(({ version }) => !['verified', 'unpinned'].includes(version.state));
      if (wrong.length > 0)
        throw new CommandFailure(`${wrong.length} of ${rows.length} are not the version that fleet.yaml wants`, {
          exitCode: exitCodes.failed,
          mend: '`soulfra models sync` brings them there, machine by machine.',
        });
    });

  models
    .command('pin')
    .argument('[model...]', 'which; default: all that a machine with Ollama serves')
    .option(...fileOption)
    .option('--from <machine>', 'whose version is wanted, where machines differ; the others stay accepted')
    .description('write the versions that the machines have now into fleet.yaml')
    .action(async (ids: string[], { file, from }: { file: string; from?: string }, command: Command) => {
      const session = sessionOf(command);
      const views = await viewsOf(session, ids);
      const pins = views.flatMap((model) => pinOf(model, from));
      if (pins.length === 0)
        throw new CommandFailure('no machine has said which version of a model it has', {
          exitCode: exitCodes.failed,
          mend: 'Only Ollama tells; its worker says so once a minute.',
        });
      const changed = writePins(file, pins);
      if (session.json) return printJson({ file, changed, pins });
      for (const { modelId, digests } of pins) line(`${modelId}: ${digests.map(shortDigest).join(', then ')}`);
      line(changed ? `${good('✔')} ${file}; now: soulfra apply ${file}` : `${file} says so already.`);
    });

  models
    .command('sync')
    .argument('[model...]', 'which; default: all that fleet.yaml names a version of')
    .option('--dry-run', 'check only')
    .option('--no-wait', 'return at once')
    .description('bring the machines to their versions, one after the other; what gives no answer goes back')
    .action(async (ids: string[], { dryRun, wait }: { dryRun?: boolean; wait: boolean }, command: Command) => {
      await sync(sessionOf(command), ids, { dryRun, wait });
    });

  models
    .command('roll-back')
    .argument('<model>', 'which')
    .option(...fileOption)
    .description('want the version before again: write it into fleet.yaml, apply that, bring the machines back')
    .action(async (id: string, { file }: { file: string }, command: Command) => {
      const session = sessionOf(command);
      const [model] = await viewsOf(session, [id]);
      const [wanted, before, ...others] = model!.digests['ollama'] ?? [];
      if (wanted === undefined || before === undefined)
        throw badInput(
          `fleet.yaml accepts ${wanted === undefined ? 'no' : 'only one'} version of ${id}`,
          'Name the one before as a second of `digests.ollama`.',
        );
      writePins(file, [{ modelId: id, digests: [before, wanted, ...others] }]);
      if (!session.json) line(`${id}: ${shortDigest(before)} again, in place of ${shortDigest(wanted)}`);
      if (!(await applyFile(session, file))) {
        if (!session.json) line(`${file} says so and was not applied; then: soulfra models sync ${id}`);
        return;
      }
      await sync(session, [id], { wait: true });
    });
}

async function viewsOf({ client }: Session, ids: readonly string[]): Promise<ModelView[]> {
  const { items } = await client.list<ModelView>('/models', {}, 1000);
  const unknown = ids.find((id) => !items.some((model) => model.id === id));
  if (unknown !== undefined) throw badInput(`fleet.yaml names no model ${unknown}`, 'See `soulfra models list`.');
  return items.filter(({ id }) => ids.length === 0 || ids.includes(id));
}

function pinOf(model: ModelView, from: string | undefined) {
  const holds = model.machines.flatMap(({ machineId, version }) =>
    version.digest === null ? [] : [{ machineId, digest: version.digest }],
  );
  const pinned = pinnedDigests(holds, from);
  if ('differ' in pinned) {
    const each = pinned.differ.map(({ machineId, digest }) => `${machineId} has ${shortDigest(digest)}`);
    throw badInput(`${model.id}: ${each.join(', ')}`, 'Say whose is wanted: --from <machine>.');
  }
  const [first] = pinned.digests;
  if (first === undefined) return [];
  const bytes = model.machines.find(({ version }) => version.digest === first)?.version.bytes ?? undefined;
  return [{ modelId: model.id, digests: pinned.digests, bytes }];
}

async function sync(
  session: Session,
  ids: readonly string[],
  { dryRun, wait }: { dryRun?: boolean | undefined; wait: boolean },
): Promise<void> {
  const { client, json } = session;
  const body = ids.length === 0 ? {} : { models: ids };
  const ask = () => client.post<{ would?: string; started?: boolean }>('/models/sync', body, { dryRun });
  let asked = await ask();
  if (asked.would !== undefined) return json ? printJson(asked) : line(`would ${asked.would}`);
  // Another's run may be past a machine, or of other models: what is wanted here needs one of its own.
  while (wait && asked.started === false) {
    if (!json) line('One runs already; this one comes after it.');
    await ended(session);
    asked = await ask();
  }
  if (!json)
    line(asked.started ? 'Machine after machine; this may take as long as fetching does.' : 'One runs already.');
  if (!wait) return json ? printJson(asked) : line(dim('soulfra models verify shows how far it is'));
  const steps = await ended(session);
  if (steps === null) throw new CommandFailure('the run was broken off', { exitCode: exitCodes.failed });
  if (json) printJson({ steps });
  else
    for (const { machineId, modelId, outcome, reason } of steps)
      line(
        `${syncFailed({ outcome }) ? bad('✖') : good('✔')} ${modelId} on ${machineId}: ${outcome}${reason === '' ? '' : `, ${reason}`}`,
      );
  const failed = steps.filter(syncFailed).length;
  if (failed > 0)
    throw new CommandFailure(`${failed} of ${steps.length} were not brought to their version`, {
      exitCode: exitCodes.failed,
    });
}

/** How the run that is there ended; null: it was broken off. */
async function ended({ client }: Session): Promise<SyncStep[] | null> {
  for (;;) {
    const { running, steps } = await client.get<{ running: boolean; steps: SyncStep[] | null }>('/models/sync');
    if (!running) return steps;
    await sleep(1_000);
  }
}

function stateShown(state: VersionState): string {
  if (state === 'verified') return good(state);
  return state === 'unpinned' ? dim(state) : state === 'refused' ? bad(state) : warn(state);
}
