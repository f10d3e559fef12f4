import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Command, Option } from 'commander';
import { readAccepted } from '../../config/accepted-findings.ts';
import { appVersion } from '../../config/app-version.ts';
import { loadFleetFile } from '../../config/fleet-file.ts';
import type { MachineFile } from '../../config/imports/read-fleet.ts';
import { fleetNames, readServiceFiles } from '../../config/service-files.ts';
import { sha256 } from '../../config/trust-file.ts';
import { yamlErrorLines } from '../../config/yaml-file.ts';
import { DomainError } from '../../domain/errors.ts';
import {
  type FindingSeverity,
  findingSeverities,
  type ReadinessRunState,
  type Verdict,
} from '../../domain/readiness.ts';
import { assessAll } from '../../domain/readiness-assessors.ts';
import { readinessMarkdown } from '../../domain/readiness-documents.ts';
import { type ReadinessReport, reportOf, sarifOf, verdictWord } from '../../domain/readiness-reports.ts';
import type { StopTrial } from '../../domain/readiness-inventory.ts';
import { commandText } from '../../domain/service-trust.ts';
import type { PortRule, ServiceSpec } from '../../domain/services.ts';
import { badInput, CommandFailure, type ExitCode, exitCodes } from '../failures.ts';
import { bad, bold, confirm, dim, good, line, type Output, plain, printJson, warn } from '../output.ts';
import { outputOf, type Session, sessionOf } from '../program.ts';
import { machineFile, portRule } from './import.ts';

const formats = ['table', 'json', 'markdown', 'sarif'] as const;
type Format = (typeof formats)[number];

const lookEveryMs = 1_000;

interface Options {
  local?: boolean;
  machine: MachineFile[];
  portRule: PortRule[];
  on?: string;
  file: string;
  format: Format;
  accepted?: string;
  tryStop: string[];
  keep?: boolean;
  wait: boolean;
}

/** The shell is told what the verdict is. */
const codes: Record<Verdict, ExitCode> = {
  ready: exitCodes.ok,
  partially_ready: exitCodes.failed,
  not_ready: exitCodes.badInput,
};

export function readinessCommands(program: Command): void {
  const readiness = program
    .command('readiness')
    .argument('[path...]', 'folders and files of the fleet that is to be assessed')
    .option('--on <machine>', 'the machine on which the folder lies; default: any')
    .option('--local', 'read the paths here, without a running fleet; machines are then not looked at')
    .option('--machine <id=file>', 'a file or folder below the paths is of this machine; repeat it', machineFile, [])
    .option('--port-rule <name=+n>', 'a port that no file declares, such as health=+1; repeat it', portRule, [])
    .option('--file <file>', 'the fleet file', 'fleet.yaml')
    .option(
      '--try-stop <service>',
      'with --local: start this service of fleet.d beside everything else, stop it by SIGTERM, and see how it ends; repeat it',
      (id: string, before: string[]) => [...before, id],
      [],
    )
    .option('--keep', 'with --try-stop: tell the fleet how each ended, so that its own assessments know')
    .option('--accepted <file>', 'findings that somebody answers for, as YAML')
    .option('--no-wait', 'do not wait until the fleet has assessed it')
    .addOption(new Option('--format <format>', 'of the report').choices(formats).default('table'))
    .description('what stands between a fleet and production: findings with their mends, and a verdict')
    .addHelpText('after', '\nExit codes: 0 READY · 1 PARTIALLY_READY · 2 NOT_READY, or bad input')
    .action(async (paths: string[], options: Options, command: Command) => {
      const { json } = outputOf(command);
      const format = json ? 'json' : options.format;
      if (options.local === true) {
        if (paths.length === 0)
          throw badInput('PATH is missing.', 'Name the folder that holds the fleet, such as ../monorepo.');
        if (options.keep === true && options.tryStop.length === 0)
          throw badInput('--keep keeps what --try-stop has seen.', 'Add --try-stop SERVICE.');
        // Known before anything is stopped.
        const session = options.keep === true ? sessionOf(command) : undefined;
        const here = await assessHere(paths, options, outputOf(command));
        show(here, format);
        if (session !== undefined) await keepTrials(session.client, here);
        return end(here);
      }
      if (options.tryStop.length > 0 || options.keep === true)
        throw badInput('--try-stop starts a service on this machine.', 'Add --local, on the machine that trusts it.');
      const { client } = sessionOf(command);
      if (paths.length > 0) {
        const runId = await begin(client, paths, options, json);
        if (runId === undefined) return;
        await ended(client, runId);
      }
      const { documents, sarif, ...report } = await client.get<
        ReadinessReport & { documents?: string; sarif?: object }
      >('/readiness', format === 'table' ? {} : { format });
      if (format === 'markdown') line(documents ?? 'The documents of this run are gone; assess it again.');
      else if (format === 'table') showTable(report);
      else printJson(format === 'sarif' ? sarif : report);
      end({ report });
    });

  readiness
    .command('accept')
    .argument('<finding>', 'its rule and fingerprint: RULE/FINGERPRINT')
    .requiredOption('--until <date>', 'the last day on which it holds, such as 2027-03-31')
    .requiredOption('--by <who>', 'who answers for it')
    .requiredOption('--reason <text>', 'why')
    .description('answer for a finding until a day')
    .action(
      async (named: string, { until, by, reason }: { until: string; by: string; reason: string }, command: Command) => {
        const { client, json } = sessionOf(command);
        const [rule = '', fingerprint = ''] = named.split('/');
        const accepted = await client.post('/readiness/acceptances', { rule, fingerprint, until, by, reason });
        if (json) return printJson(accepted);
        line(`${good('✔')} ${rule} is accepted until ${until}`);
      },
    );
}

/** @returns its run; undefined where nobody waits for it */
async function begin(
  client: Session['client'],
  paths: readonly string[],
  { on, machine, portRule: rules, wait }: Options,
  json: boolean,
): Promise<string | undefined> {
  if (paths.length > 1)
    throw badInput('One folder is assessed at a time.', 'Name the folder that holds all of them, or add --local.');
  const started = await client.post<{ workflowId: string; runId: string }>('/readiness/runs', {
    folder: resolve(paths[0]!),
    machineId: on ?? null,
    machineFiles: machine,
    portRules: rules.map(({ name, add }) => ({ name, add })),
  });
  if (wait) return started.runId;
  if (json) printJson(started);
  else line(`${started.workflowId} has begun; \`soulfra readiness\` shows its verdict`);
  return undefined;
}

/** Waits until the fleet has assessed it. */
async function ended(client: Session['client'], runId: string): Promise<void> {
  for (;;) {
    const { items } = await client.list<{ id: string; state: ReadinessRunState; reason: string }>(
      '/readiness/runs',
      {},
      100,
    );
    const run = items.find(({ id }) => id === runId);
    if (run?.state === 'done') return;
    if (run?.state === 'failed')
      throw new CommandFailure(`it could not be assessed: ${run.reason}`, { exitCode: exitCodes.failed });
    await sleep(lookEveryMs);
  }
}

async function assessHere(
  paths: readonly string[],
  { machine, portRule: portRules, file, accepted, tryStop }: Options,
  output: Output,
) {
  const { readInventoryHere } = await import('../../doctor/readiness.ts');
  const fleet = existsSync(file) ? loadFleetFile(file) : undefined;
  const described = readServiceFiles(file, fleet && fleetNames(fleet));
  if ('errors' in described)
    throw new DomainError('CONFIG_INVALID', yamlErrorLines(described.errors).join('\n'), { fields: described.errors });
  const specs = described.files.flatMap(({ services }) => services);
  const inventory = await readInventoryHere({
    paths,
    machineFiles: machine,
    portRules,
    machines: fleet?.machines,
    fleet,
    described: described.files,
    stops: await triedStops(tryStop, specs, output),
  });
  const report = reportOf(assessAll(inventory), {
    acceptances: accepted === undefined ? [] : readAccepted(accepted),
    today: new Date().toISOString().slice(0, 10),
  });
  return { report, inventory, specs };
}

/** What was refused was not seen, and nothing of it is told. */
async function keepTrials(
  client: Session['client'],
  { inventory, specs }: Awaited<ReturnType<typeof assessHere>>,
): Promise<void> {
  for (const { service, refused, ended, said, clean, seconds, left } of inventory.stops) {
    if (refused !== null) continue;
    const commandSha256 = sha256(commandText(specs.find(({ id }) => id === service)!, []));
    const kept = left.slice(0, 50).map((each) => each.slice(0, 200));
    await client.post('/readiness/stop-trials', { service, commandSha256, ended, said, clean, seconds, left: kept });
  }
}

/** Each is asked about by name, with the words that would be run; nobody else ever begins one. */
async function triedStops(ids: readonly string[], specs: readonly ServiceSpec[], output: Output): Promise<StopTrial[]> {
  if (ids.length === 0) return [];
  const { planStopTrial, tryStop } = await import('../../doctor/stop-trials.ts');
  const leaving = new AbortController();
  const leave = () =>
    leaving.abort(new CommandFailure('given up; nothing of it runs on', { exitCode: exitCodes.failed }));
  const trials: StopTrial[] = [];
  // A terminal that is closed sends SIGHUP: what the service itself has started would live on.
  for (const signal of leaveBy) process.once(signal, leave);
  try {
    for (const id of new Set(ids)) {
      const spec = specs.find((each) => each.id === id);
      if (spec === undefined)
        throw badInput(`No file of fleet.d describes ${id}.`, '`soulfra import` writes one; --try-stop takes its id.');
      const plan = planStopTrial(spec);
      if ('refused' in plan) {
        trials.push({ ...notTried, service: id, refused: plan.refused });
        continue;
      }
      const words = plan.command.map((word) => plain(JSON.stringify(word))).join(' ');
      const agreed = await confirm(
        `Start a second ${id} (${words} in ${plain(plan.folder)}), stop it by SIGTERM and look what is left?`,
        output,
      );
      trials.push(
        agreed ? await tryStop(plan, leaving.signal) : { ...notTried, service: id, refused: 'it was not agreed to' },
      );
    }
  } finally {
    for (const signal of leaveBy) process.off(signal, leave);
  }
  return trials;
}

const leaveBy = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const notTried = { ended: false, said: '', clean: false, seconds: 0, left: [] };

function show({ report, inventory }: Awaited<ReturnType<typeof assessHere>>, format: Format): void {
  if (format === 'json') printJson({ ...report, skipped: inventory.skipped, hidden: inventory.hidden });
  else if (format === 'sarif') printJson(sarifOf(report, appVersion()));
  else if (format === 'markdown') line(readinessMarkdown(report, inventory));
  else {
    showTable(report);
    const { hidden = [] } = inventory;
    if (hidden.length > 0) line(dim(`hidden folders were passed over: ${hidden.slice(0, 10).map(plain).join(', ')}`));
  }
}

const styles: Record<FindingSeverity, (text: string) => string> = {
  critical: bad,
  high: bad,
  medium: warn,
  low: dim,
  unknown: dim,
};

function showTable({ findings, verdict, accepted }: ReadinessReport): void {
  for (const {
    severity,
    rule,
    subject,
    place,
    evidence,
    mend,
    workPackage,
    fingerprint,
    state,
    accepted: by,
  } of findings) {
    const mark = by === null ? styles[severity](severity.padEnd(8)) : dim('accepted');
    line(
      `${mark} ${bold(rule)} ${plain(subject)} ${dim(`${workPackage} ${fingerprint}${state === null ? '' : ` ${state}`}`)}`,
    );
    line(`         ${plain(evidence)}${place === null ? '' : dim(` (${plain(place)})`)}`);
    if (by === null) line(`         → ${plain(mend)}`);
    else line(dim(`         until ${by.until} by ${plain(by.by)}: ${plain(by.reason)}`));
  }
  if (accepted > 0) line(dim(`${accepted} accepted`));
  const style = { ready: good, partially_ready: warn, not_ready: bad }[verdict];
  line(style(verdictWord(verdict)));
}

function end({ report: { verdict, counts } }: { report: ReadinessReport }): void {
  if (verdict === 'ready') return;
  const open = findingSeverities
    .filter((severity) => counts[severity] > 0)
    .map((severity) => `${counts[severity]} ${severity}`);
  throw new CommandFailure(`${verdictWord(verdict)}: ${open.join(', ')}`, { exitCode: codes[verdict] });
}
