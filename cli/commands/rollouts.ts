import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';
import { Argument, type Command } from 'commander';
import { loadFleetFile } from '../../config/fleet-file.ts';
import { parseRollout, writtenRollout } from '../../config/rollout-file.ts';
import { yamlErrorLines } from '../../config/yaml-file.ts';
import { planRollout, type RolloutFile, type RolloutPlan } from '../../domain/rollouts.ts';
import type { ShippedFor } from '../../domain/shipped-rollout.ts';
import type { Client } from '../client.ts';
import { badInput, CommandFailure, exitCodes } from '../failures.ts';
import { ago, bold, confirm, dim, good, line, plain, printJson, styledState, table, warn } from '../output.ts';
import { outputOf, sessionOf } from '../program.ts';

const defaultFile = 'rollout.yaml';

export function rolloutCommands(program: Command): void {
  const rollout = program.command('rollout').description('work packages that bring the fleet to production, in order');
  rollout
    .command('init')
    .argument('[path]', 'the repository of the fleet', '.')
    .option('--on <machine>', 'the machine on which it lies; default: the only one')
    .option('--canary <machine>', 'deployed to first; default: the one with the least GPU memory')
    .option('--fleet <file>', 'the fleet whose machines it names', 'fleet.yaml')
    .option('--file <file>', 'what is written', defaultFile)
    .option('--force', 'write over what stands there')
    .description('write the shipped packages, WP-01 to WP-12, for your repository and fleet')
    .action((path: string, options: InitOptions, command: Command) => {
      const { file } = options;
      const text = writtenRollout(shippedFor(path, options));
      const before = existsSync(file) ? readSource(file) : undefined;
      if (before !== undefined && before !== text && options.force !== true)
        throw badInput(
          `${file} is there already, and is not what would be written.`,
          `Keep it, name another with --file, or write over it with --force.`,
        );
      if (before !== text) writeFileSync(file, text);
      if (outputOf(command).json) printJson({ file, written: before !== text });
      else line(`${good('✔')} ${file}${before === text ? ' is so already' : ''}; soulfra rollout plan`);
    });

  rollout
    .command('plan')
    .argument('[file]', 'the file', defaultFile)
    .option('--fleet <file>', 'the fleet whose machines it names', 'fleet.yaml')
    .description('waves, critical path and overlaps, or every error of the file; needs nothing running')
    .action((file: string, { fleet }: { fleet: string }, command: Command) => {
      const read = readRollout(file, existsSync(fleet) ? loadFleetFile(fleet).machines.map(({ id }) => id) : undefined);
      const planned = planRollout(read.workPackages);
      if (outputOf(command).json) printJson(planned);
      else for (const text of planLines(read, planned)) line(text);
    });

  rollout
    .command('apply')
    .argument('[file]', 'the file', defaultFile)
    .option('--dry-run', 'say what would be done; do nothing')
    .option('--key <key>', 'the same key begins the same rollout once')
    .description('carry the packages out, in order; one rollout at a time')
    .action(async (file: string, { dryRun = false, key }: { dryRun?: boolean; key?: string }, command: Command) => {
      const session = sessionOf(command);
      const read = readRollout(file, undefined);
      const headers: Record<string, string> = key === undefined ? {} : { 'idempotency-key': key };
      const body = { source: readSource(file) };
      await session.client.post('/rollouts', body, { dryRun: true });
      if (!session.json) for (const text of planLines(read, planRollout(read.workPackages))) line(text);
      if (dryRun) return session.json ? printJson(planRollout(read.workPackages)) : undefined;
      if (!(await confirm('Carry this out?', session))) return;
      const begun = await session.client.post<Rollout>('/rollouts', body, {}, headers);
      if (session.json) printJson(begun);
      else line(`${good('✔')} ${begun.id} has begun; soulfra rollout show`);
    });

  rollout
    .command('list')
    .description('rollouts, the last first')
    .action(async (_options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const page = await client.list<Listed>('/rollouts', {}, 50);
      if (json) return printJson(page);
      line(
        table(page.items, [
          ['ROLLOUT', ({ id }) => id],
          ['STATE', ({ state }) => state],
          ['PACKAGES', ({ over, packages }) => `${over} of ${packages}`],
          ['BEGAN', ({ createdAt }) => ago(createdAt)],
          ['WHY', ({ reason }) => reason],
        ]),
      );
    });

  rollout
    .command('show')
    .argument('[rollout]', 'its id; default: the last')
    .description('packages of a rollout, with the steps under way and what went wrong')
    .action(async (id: string | undefined, _options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const found = await client.get<Rollout>(`/rollouts/${id ?? (await lastOf(client))}`);
      if (json) return printJson(found);
      showRollout(found);
    });

  for (const [act, description] of [
    ['pause', 'begin nothing new; what is under way ends'],
    ['resume', 'go on; packages that failed are tried again'],
    ['rollback', 'take all packages back, the last first'],
  ] as const)
    rollout
      .command(act)
      .argument('[rollout]', 'its id; default: the last')
      .description(description)
      .action(async (id: string | undefined, _options: object, command: Command) => {
        const session = sessionOf(command);
        const asked = id ?? (await lastOf(session.client));
        if (act === 'rollback' && !(await confirm(`Take all packages of ${asked} back?`, session))) return;
        const found = await session.client.post<Rollout>(`/rollouts/${asked}/${act}`);
        if (session.json) printJson(found);
        else showRollout(found);
      });

  rollout
    .command('skip')
    .argument('<package>', 'its id')
    .option('--rollout <id>', 'default: the last')
    .description('pass over a package that waits, failed or is stuck')
    .action(async (packageId: string, { rollout: id }: { rollout?: string }, command: Command) => {
      const session = sessionOf(command);
      const asked = id ?? (await lastOf(session.client));
      if (!(await confirm(`Go on without ${packageId}?`, session))) return;
      const found = await session.client.post<Rollout>(`/rollouts/${asked}/packages/${packageId}/skip`);
      if (session.json) printJson(found);
      else showRollout(found);
    });

  rollout
    .command('answer')
    .argument('<rollout>', 'its id')
    .argument('<package>', 'the one that waits')
    .addArgument(new Argument('<outcome>', 'how it ended').choices(['done', 'failed', 'again']))
    .option('--reason <text>', 'what the rows keep')
    .description('say how a step for a person, or one in doubt, has ended; again: it was surely not done')
    .action(
      async (id: string, packageId: string, outcome: string, { reason }: { reason?: string }, command: Command) => {
        const { client, json } = sessionOf(command);
        const body = { outcome, ...(reason === undefined ? {} : { reason }) };
        const found = await client.post<Rollout>(`/rollouts/${id}/packages/${packageId}/answer`, body);
        if (json) printJson(found);
        else showRollout(found);
      },
    );
}

interface InitOptions {
  on?: string;
  canary?: string;
  fleet: string;
  file: string;
  force?: boolean;
}

function shippedFor(path: string, { on, canary, fleet }: InitOptions): ShippedFor {
  const machines = loadFleetFile(fleet).machines.map(({ id, gpus }) => ({
    id,
    vramGiB: gpus.reduce((sum, gpu) => sum + gpu.vramGiB, 0),
  }));
  const ids = machines.map(({ id }) => id);
  for (const [option, id] of [
    ['--on', on],
    ['--canary', canary],
  ] as const)
    if (id !== undefined && !ids.includes(id))
      throw badInput(`${option} ${id} is no machine of ${fleet}.`, `Name one of ${ids.join(', ')}.`);
  const machine = on ?? (ids.length === 1 ? ids[0] : undefined);
  if (machine === undefined)
    throw badInput(`${fleet} has ${ids.length} machines.`, `Say on which the repository lies: --on ${ids.join('|')}.`);
  const folder = resolve(path);
  // It may lie on another machine than this one.
  if (!existsSync(folder) && !isAbsolute(path))
    throw badInput(`${path} is not there.`, 'Name the folder of the repository, by its whole path if it is elsewhere.');
  if (existsSync(folder) && !existsSync(join(folder, '.git')))
    throw badInput(`${folder} is no git repository.`, 'Name its top folder; branches are written there.');
  const first = canary ?? machines.toSorted((a, b) => a.vramGiB - b.vramGiB)[0]!.id;
  return {
    machines: [first, ...ids.filter((id) => id !== first)],
    repository: { machine, path: folder },
  };
}

interface Listed {
  id: string;
  state: string;
  reason: string;
  packages: number;
  over: number;
  createdAt: string;
}
interface Rollout extends Omit<Listed, 'packages'> {
  packages: Array<{
    id: string;
    title: string;
    state: string;
    reason: string;
    attempt: number;
    steps: Array<{
      attempt: number;
      phase: string;
      machineId: string | null;
      kind: string;
      state: string;
      reason: string;
      result: Record<string, unknown> | null;
    }>;
  }>;
}

async function lastOf(client: Client): Promise<string> {
  const { items } = await client.list<Listed>('/rollouts', {}, 200);
  // Ids that were made of a caller's key are in no order.
  const last = items.toSorted((a, b) => Date.parse(b.createdAt) - Date.parse(a.createdAt))[0];
  if (last === undefined) throw badInput('there is no rollout', 'Begin one with `soulfra rollout apply`.');
  return last.id;
}

function showRollout({ id, state, reason, packages, over, createdAt }: Rollout): void {
  line(`${bold(id)} ${styledState(state)} ${dim(`${over} of ${packages.length} packages, begun ${ago(createdAt)}`)}`);
  if (reason !== '') line(plain(reason));
  for (const each of packages) {
    line(
      `  ${each.id}  ${styledState(each.state)}  ${plain(each.title)}${each.reason === '' ? '' : dim(`: ${plain(each.reason)}`)}`,
    );
    const branch = each.steps.find(({ result }) => typeof result?.['branch'] === 'string')?.result?.['branch'];
    if (typeof branch === 'string' && each.state !== 'undone' && each.state !== 'failed')
      line(dim(`    branch ${branch}`));
    for (const step of each.steps) {
      if (step.attempt !== each.attempt || step.state === 'done') continue;
      const where = step.machineId === null ? '' : ` on ${step.machineId}`;
      const phase = step.phase === 'undo' ? 'undo, ' : '';
      line(
        `    ${phase}${step.kind}${where} ${styledState(step.state)}${step.reason === '' ? '' : `: ${plain(step.reason)}`}`,
      );
    }
  }
}

function readSource(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (err) {
    throw badInput(
      `${file} cannot be read: ${(err as Error).message}`,
      'Name the file; `soulfra rollout init PATH` writes one, and docs/rollout.md says what it holds.',
    );
  }
}

function readRollout(file: string, machines: readonly string[] | undefined): RolloutFile {
  const read = parseRollout(readSource(file), file, machines);
  if ('rollout' in read) return read.rollout;
  for (const text of yamlErrorLines(read.errors)) line(text);
  throw new CommandFailure(`${file} has ${read.errors.length} error${read.errors.length === 1 ? '' : 's'}`, {
    exitCode: exitCodes.badInput,
    code: 'CONFIG_INVALID',
  });
}

function planLines({ workPackages }: RolloutFile, { waves, criticalPath, overlaps }: RolloutPlan): string[] {
  const byId = new Map(workPackages.map((each) => [each.id, each]));
  const told = waves.flatMap((ids, i) => [
    bold(`wave ${i + 1}`),
    ...ids.map((id) => {
      const { title, dependsOn, steps, machines } = byId.get(id)!;
      const where = machines === undefined ? 'all machines' : machines.join(', ');
      const after = dependsOn.length === 0 ? '' : `; after ${dependsOn.join(', ')}`;
      return `  ${id}  ${plain(title)} ${dim(`(${steps.map(({ kind }) => kind).join(', ')}; ${where}${after})`)}`;
    }),
  ]);
  const path = `critical path: ${criticalPath.packages.join(' → ')}, ${criticalPath.minutes} min`;
  if (overlaps.length === 0) return [...told, path, good('no two packages on one field')];
  const twice = overlaps.map(({ field, packages: [first, second] }) => `${field}: ${first}, then ${second}`);
  return [
    ...told,
    path,
    warn(`on one field, one after the other (${twice.length})`),
    ...twice.map((text) => `  ${text}`),
  ];
}
