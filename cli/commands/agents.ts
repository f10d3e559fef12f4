import type { Command } from 'commander';
import { ago, bold, dim, good, line, plain, printJson, styledState, table } from '../output.ts';
import { limitOption, sessionOf } from '../program.ts';
import { agentBudgetCommands } from './agent-budgets.ts';
import type { Subject } from './health.ts';
import { lineageCommands } from './lineages.ts';

interface LastRun {
  id: string;
  state: string;
  reason: string;
  degraded: boolean;
  createdAt: string;
  endedAt: string | null;
}
interface Agent {
  id: string;
  name: string;
  archetype: string;
  origin: string;
  parentId: string | null;
  lineageId: string;
  generation: number;
  state: string;
  paused: boolean;
  cadence: string;
  modelId: string;
  machineId: string | null;
  why: string;
  memories: number;
  unread: number;
  nextRunAt: string | null;
  lastRun: LastRun | null;
}
interface AgentDetail extends Agent {
  persona: string;
  traits: string[];
  leastClass: string;
  mayDegrade: boolean;
  expectedTokens: number;
  ego: number;
}
interface EgoEntry {
  counterAgentId: string | null;
  kind: string;
  amount: number;
  balance: number;
  at: string;
}

export function agentCommands(program: Command): void {
  const agents = program.command('agents').description('the agents');
  lineageCommands(agents);
  agentBudgetCommands(agents);

  limitOption(
    agents
      .command('list')
      .option('--state <state>', 'active, parked or retired')
      .option('--archetype <archetype>', 'only this archetype')
      .option('--origin <origin>', 'fleet, spawn or import')
      .option('--machine <id>', 'only those at home there')
      .description('agents with machine, last and next run'),
  ).action(
    async (
      options: { limit: number; state?: string; archetype?: string; origin?: string; machine?: string },
      command: Command,
    ) => {
      const { client, json } = sessionOf(command);
      const { limit, machine, ...filters } = options;
      const page = await client.list<Agent>('/agents', { ...filters, machineId: machine }, limit);
      if (json) return printJson(page);
      line(
        table(page.items, [
          ['AGENT', (agent) => agent.id],
          ['NAME', (agent) => agent.name],
          ['ORIGIN', (agent) => (agent.parentId === null ? agent.origin : `of ${agent.parentId}`)],
          ['MACHINE', (agent) => agent.machineId],
          ['MODEL', (agent) => agent.modelId],
          ['UNREAD', (agent) => agent.unread],
          [
            'LAST RUN',
            (agent) =>
              agent.lastRun
                ? `${agent.lastRun.state} ${ago(agent.lastRun.endedAt ?? agent.lastRun.createdAt)}`
                : 'never',
          ],
          ['NEXT RUN', (agent) => ago(agent.nextRunAt)],
          ['WHY', (agent) => agent.why],
        ]),
      );
      if (page.nextCursor !== null) line(dim(`more: --limit ${limit * 2}`));
    },
  );

  limitOption(
    agents.command('late').description('agents whose runs do not come, or bring nothing, the worst first'),
  ).action(async ({ limit }: { limit: number }, command: Command) => {
    const { client, json } = sessionOf(command);
    const page = await client.list<Subject>('/health', { kind: 'agent', atLeast: 'late' }, limit);
    if (json) return printJson(page);
    if (page.items.length === 0) return line(good('No agent is late.'));
    line(
      table(page.items, [
        ['AGENT', (agent) => agent.id],
        ['NAME', (agent) => agent.name],
        ['STATE', (agent) => agent.state],
        ['SINCE', (agent) => ago(agent.since)],
        ['WHY', (agent) => agent.reason],
      ]),
    );
    if (page.nextCursor !== null) line(dim(`more: --limit ${limit * 2}`));
  });

  agents
    .command('show')
    .argument('<agent>', 'id of the agent')
    .description('one agent with its persona')
    .action(async (id: string, _options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const agent = await client.get<AgentDetail>(`/agents/${encodeURIComponent(id)}`);
      if (json) return printJson(agent);
      line(`${bold(plain(agent.name))} (${agent.id}) · ${agent.traits.map(plain).join(', ')}`);
      line(plain(agent.persona));
      line();
      line(`state      ${agent.state}${agent.paused ? ', paused' : ''}`);
      line(
        `model      ${agent.modelId}, cards from ${agent.leastClass}, ${agent.mayDegrade ? 'may degrade' : 'may not degrade'}`,
      );
      line(`machine    ${agent.machineId ?? 'none'}${agent.why === '' ? '' : `: ${agent.why}`}`);
      line(`born       ${bornOf(agent)}`);
      line(`ego        ${agent.ego.toLocaleString('en')} (voting weight, millionths)`);
      line(`memories   ${agent.memories}, ${agent.unread} not yet reflected on`);
      const last = agent.lastRun;
      const reason = last && last.reason !== '' ? ` (${plain(last.reason)})` : '';
      line(
        `last run   ${last ? `${styledState(last.state)}${last.degraded ? ', degraded' : ''} ${ago(last.endedAt ?? last.createdAt)}${reason} · ${last.id}` : 'never'}`,
      );
      line(`next run   ${ago(agent.nextRunAt)}, every ${agent.cadence}`);
    });

  limitOption(
    agents
      .command('ego')
      .argument('<agent>', 'id of the agent')
      .description('its ego account (voting weight, in millionths), the latest entry first'),
  ).action(async (id: string, { limit }: { limit: number }, command: Command) => {
    const { client, json } = sessionOf(command);
    const page = await client.list<EgoEntry>(`/agents/${encodeURIComponent(id)}/ego`, {}, limit);
    if (json) return printJson(page);
    line(
      table(page.items, [
        ['AT', (entry) => ago(entry.at)],
        ['KIND', (entry) => entry.kind],
        ['WITH', (entry) => entry.counterAgentId],
        ['AMOUNT', (entry) => entry.amount.toLocaleString('en')],
        ['BALANCE', (entry) => entry.balance.toLocaleString('en')],
      ]),
    );
    if (page.nextCursor !== null) line(dim(`more: --limit ${limit * 2}`));
  });

  for (const [verb, description] of [
    ['pause', 'sweeps leave the agent out'],
    ['resume', 'sweeps take the agent again'],
    ['trigger', 'reflect now, due or not'],
  ] as const) {
    agents
      .command(verb)
      .argument('<agent>', 'id of the agent')
      .option('--dry-run', 'check only')
      .description(description)
      .action(async (id: string, { dryRun }: { dryRun?: boolean }, command: Command) => {
        const { client, json } = sessionOf(command);
        const path = `/agents/${encodeURIComponent(id)}/${verb}`;
        const answer = await client.post<{ runId?: string | null; started?: boolean; would?: string }>(
          path,
          {},
          { dryRun },
        );
        if (json) return printJson(answer);
        if (answer.would !== undefined) return line(`would ${answer.would}`);
        if (verb !== 'trigger') return line(`${good('✔')} ${verb}d ${id}`);
        const run = answer.runId ?? 'the run that is being started';
        line(
          `${good('✔')} ${answer.started ? 'started' : 'already open'}: ${run} (soulfra runs show ${answer.runId ?? '…'})`,
        );
      });
  }
}

function bornOf(agent: Agent): string {
  if (agent.parentId !== null) return `of ${agent.parentId}, generation ${agent.generation} of ${agent.lineageId}`;
  return agent.origin === 'fleet' ? 'of fleet.yaml' : 'of an imported file';
}
