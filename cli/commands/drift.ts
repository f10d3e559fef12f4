import type { Command } from 'commander';
import { ago, dim, good, line, plain, printJson, table } from '../output.ts';
import { limitOption, sessionOf } from '../program.ts';

interface AgentDrift {
  agentId: string;
  name: string;
  state: string | null;
  since: string | null;
  drift: number | null;
  z: number | null;
  ratedAt: string | null;
  why: string;
}
interface Rating {
  period: string;
  state: string;
  drift: number;
  weighted: number;
  z: number | null;
  windowSize: number;
  history: number;
  model: string;
  reason: string;
  ratedAt: string;
  judgement: {
    state: string;
    scores: Record<string, { mean: number; spread: number }> | null;
    samples: number;
    modelId: string | null;
    reason: string;
  } | null;
}

export function driftCommands(program: Command): void {
  const drift = program.command('drift').description('how far agents stand from their personas');

  limitOption(
    drift
      .command('list')
      .option('--state <state>', 'calm, drifting or estranged')
      .description('agents with how they stand now'),
  ).action(async ({ limit, state }: { limit: number; state?: string }, command: Command) => {
    const { client, json } = sessionOf(command);
    const page = await client.list<AgentDrift>('/drift', { state }, limit);
    if (json) return printJson(page);
    line(
      table(page.items, [
        ['AGENT', (agent) => agent.agentId],
        ['NAME', (agent) => agent.name],
        ['STATE', (agent) => agent.state ?? 'not rated'],
        ['SINCE', (agent) => ago(agent.since)],
        ['DRIFT', (agent) => number(agent.drift)],
        ['DEVIATIONS', (agent) => number(agent.z)],
        ['RATED', (agent) => ago(agent.ratedAt)],
        ['WHY', (agent) => agent.why],
      ]),
    );
    if (page.nextCursor !== null) line(dim(`more: --limit ${limit * 2}`));
  });

  limitOption(
    drift.command('show').argument('<agent>', 'id of the agent').description('ratings of an agent, the last first'),
  ).action(async (id: string, { limit }: { limit: number }, command: Command) => {
    const { client, json } = sessionOf(command);
    const page = await client.list<Rating>(`/agents/${encodeURIComponent(id)}/drift`, {}, limit);
    if (json) return printJson(page);
    if (page.items.length === 0) line(dim(`${id} is not rated yet (soulfra drift list says why)`));
    for (const rating of page.items) {
      line(
        `${rating.ratedAt.slice(0, 16).replace('T', ' ')}  ${rating.state.padEnd(9)}  drift ${number(rating.drift)}, weighted ${number(rating.weighted)}, ${rating.z === null ? 'nothing usual yet' : `${number(rating.z)} deviations over its usual`}`,
      );
      line(dim(`  ${rating.windowSize} recent outputs against ${rating.history} before them · ${rating.model}`));
      if (rating.reason !== '') line(dim(`  ${plain(rating.reason)}`));
      if (rating.judgement) line(dim(`  ${judgementLine(rating.judgement)}`));
    }
  });

  drift
    .command('rate')
    .option('--dry-run', 'check only')
    .description('rate now every agent that has said something new')
    .action(async ({ dryRun }: { dryRun?: boolean }, command: Command) => {
      const { client, json } = sessionOf(command);
      const answer = await client.post<{ workflowId?: string; would?: string }>('/drift/rate', {}, { dryRun });
      if (json) return printJson(answer);
      line(
        answer.would === undefined
          ? `${good('✔')} started ${answer.workflowId} (soulfra drift list)`
          : `would ${answer.would}`,
      );
    });
}

function judgementLine({ state, scores, samples, modelId, reason }: NonNullable<Rating['judgement']>): string {
  if (scores === null) return state === 'pending' ? 'waits to be judged by a model' : `not judged: ${plain(reason)}`;
  const each = Object.entries(scores).map(
    ([kind, { mean, spread }]) => `${kind.replaceAll('_', ' ')} ${number(mean)} ± ${number(spread)}`,
  );
  return `judged by ${modelId}, ${samples} times: ${each.join(', ')} (1 is consistent)`;
}

function number(value: number | null): string {
  return value === null ? '–' : value.toFixed(2);
}
