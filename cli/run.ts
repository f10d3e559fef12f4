import { Command, CommanderError } from 'commander';
import { errorTable, isDomainError } from '../domain/errors.ts';
import { agentCommands } from './commands/agents.ts';
import { auditCommand } from './commands/audit.ts';
import { backupCommands } from './commands/backups.ts';
import { tlsCommands } from './commands/tls.ts';
import { mirrorCommands } from './commands/mirror.ts';
import { ballotCommands } from './commands/ballots.ts';
import { channelCommands } from './commands/channels.ts';
import { clusterCommands } from './commands/clusters.ts';
import { configCommands } from './commands/config.ts';
import { creditCommands } from './commands/credits.ts';
import { deployCommands } from './commands/deploy.ts';
import { doctorCommand } from './commands/doctor.ts';
import { driftCommands } from './commands/drift.ts';
import { dropCommands } from './commands/drops.ts';
import { fleetCommands } from './commands/fleet.ts';
import { guildCommands } from './commands/guilds.ts';
import { importCommand } from './commands/import.ts';
import { logCommands } from './commands/logs.ts';
import { healthCommands } from './commands/health.ts';
import { inboxCommands } from './commands/inbox.ts';
import { payoutCommands } from './commands/payouts.ts';
import { notifyCommands } from './commands/notify.ts';
import { ledgerCommands } from './commands/ledger.ts';
import { inviteCommands } from './commands/invites.ts';
import { keyCommands } from './commands/keys.ts';
import { secretCommands } from './commands/secrets.ts';
import { purchaseCommands } from './commands/purchases.ts';
import { listingCommands } from './commands/listings.ts';
import { licenseCommands } from './commands/licenses.ts';
import { loopCommands } from './commands/loops.ts';
import { machineCommands } from './commands/machines.ts';
import { mcpCommand } from './commands/mcp.ts';
import { mailCommands } from './commands/mails.ts';
import { memoryCommands } from './commands/memories.ts';
import { personaCommands } from './commands/personas.ts';
import { readinessCommands } from './commands/readiness.ts';
import { reflectionCommands } from './commands/reflections.ts';
import { rolloutCommands } from './commands/rollouts.ts';
import { runCommands } from './commands/runs.ts';
import { talkCommand } from './commands/talk.ts';
import { serviceCommands } from './commands/services.ts';
import { sourceCommands } from './commands/sources.ts';
import { threadCommands } from './commands/threads.ts';
import { budgetCommand } from './commands/token-budgets.ts';
import { tokenCommands } from './commands/tokens.ts';
import { meCommands, userCommands } from './commands/users.ts';
import { proposeCommand, voteCommand } from './commands/votes.ts';
import { webhookCommands } from './commands/webhooks.ts';
import { workCommands } from './commands/work.ts';
import { whisperCommands } from './commands/whispers.ts';
import { CommandFailure, exitCodes } from './failures.ts';
import { bad, dim } from './output.ts';

export function createProgram(): Command {
  const program = new Command('soulfra')
    .description('Runs hundreds of AI agents for years on the GPUs you own.')
    .option('--json', 'answer as JSON and nothing else')
    .option('--yes', 'ask nothing')
    .showSuggestionAfterError()
    .addHelpText('after', '\nExit codes: 0 ok · 1 failed · 2 bad input · 3 unreachable');
  for (const add of [
    configCommands,
    importCommand,
    readinessCommands,
    rolloutCommands,
    doctorCommand,
    backupCommands,
    tlsCommands,
    mirrorCommands,
    deployCommands,
    fleetCommands,
    machineCommands,
    agentCommands,
    talkCommand,
    mcpCommand,
    personaCommands,
    memoryCommands,
    reflectionCommands,
    threadCommands,
    driftCommands,
    clusterCommands,
    guildCommands,
    inviteCommands,
    runCommands,
    serviceCommands,
    workCommands,
    sourceCommands,
    whisperCommands,
    proposeCommand,
    voteCommand,
    ballotCommands,
    channelCommands,
    dropCommands,
    creditCommands,
    ledgerCommands,
    payoutCommands,
    healthCommands,
    inboxCommands,
    logCommands,
    notifyCommands,
    licenseCommands,
    listingCommands,
    purchaseCommands,
    keyCommands,
    secretCommands,
    loopCommands,
    webhookCommands,
    userCommands,
    meCommands,
    mailCommands,
    tokenCommands,
    auditCommand,
    budgetCommand,
  ]) {
    add(program);
  }
  everywhere(program, (command) => command.exitOverride());
  return program;
}

function everywhere(command: Command, act: (command: Command) => void): void {
  act(command);
  for (const below of command.commands) everywhere(below, act);
}

/** @returns the exit code */
export async function run(program: Command, args: readonly string[]): Promise<number> {
  try {
    await program.parseAsync(args, { from: 'user' });
    return exitCodes.ok;
  } catch (err) {
    // Help and version are asked for; everything else that commander refuses is bad input.
    if (err instanceof CommanderError) return err.exitCode === 0 ? exitCodes.ok : exitCodes.badInput;
    const failure = asFailure(err);
    if (program.opts<{ json?: boolean }>().json) tellAsJson(failure);
    else tell(failure);
    return failure.exitCode;
  }
}

function asFailure(err: unknown): CommandFailure {
  if (err instanceof CommandFailure) return err;
  if (isDomainError(err)) {
    return new CommandFailure(err.message, {
      exitCode: exitCodes.badInput,
      code: err.code,
      mend: errorTable[err.code].mend,
      fields: err.fields,
    });
  }
  throw err;
}

function tell({ message, code, mend, fields }: CommandFailure): void {
  const lines = [`${bad('✖')} ${message}${code === undefined ? '' : dim(` [${code}]`)}`];
  for (const { path, rule, mend: how, line, file } of fields) {
    const of = file?.startsWith('fleet.d') ? `${file} ` : '';
    const where = line === undefined ? '' : `${of}line ${line}: `;
    lines.push(`  ${where}${path === '' ? 'the file' : path} ${rule}. ${how}`);
  }
  if (mend !== undefined && fields.length === 0) lines.push(`  ${mend}`);
  process.stderr.write(`${lines.join('\n')}\n`);
}

function tellAsJson({ message, code, mend, fields }: CommandFailure): void {
  process.stderr.write(
    `${JSON.stringify({ error: { code: code ?? 'FAILED', detail: message, mend, errors: fields } })}\n`,
  );
}
