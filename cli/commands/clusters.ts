import type { Command } from 'commander';
import { ago, bold, dim, good, line, plain, printJson, table } from '../output.ts';
import { limitOption, sessionOf } from '../program.ts';

interface Cluster {
  id: string;
  state: string;
  members: number;
  terms: string[];
  splitFrom: string | null;
  mergedInto: string | null;
  bornAt: string;
  endedAt: string | null;
}
interface ClusterDetail extends Cluster {
  agents: Array<{ id: string; name: string; drift: string | null }>;
  why: Array<{ term: string; quotes: Array<{ agentId: string; quote: string }> }>;
  run: { agents: number; sampledShare: number; madeAt: string } | null;
}

interface ClusterRun {
  agents: number;
  clusters: number;
  apart: number;
  skipped: boolean;
  reason: string;
  madeAt: string;
}

function runLine({ agents, clusters, apart, skipped, reason, madeAt }: ClusterRun): string {
  const found = skipped ? 'nothing was looked for' : `${agents} agents: ${clusters} clusters, ${apart} in none`;
  return `last looked for ${ago(madeAt)}, ${found}${reason === '' ? '' : ` (${plain(reason)})`}`;
}

export function clusterCommands(program: Command): void {
  const clusters = program.command('clusters').description('groups of agents that speak and drift alike');

  limitOption(
    clusters
      .command('list')
      .option('--state <state>', 'living, merged or gone; default: living', 'living')
      .description('clusters, the last born first'),
  ).action(async ({ limit, state }: { limit: number; state: string }, command: Command) => {
    const { client, json } = sessionOf(command);
    const page = await client.list<Cluster>('/clusters', { state }, limit);
    if (json) return printJson(page);
    line(
      table(page.items, [
        ['CLUSTER', (cluster) => cluster.id],
        ['MEMBERS', (cluster) => cluster.members],
        ['BORN', (cluster) => ago(cluster.bornAt)],
        ['FROM', (cluster) => cluster.splitFrom],
        ['WORDS', (cluster) => cluster.terms.join(', ')],
      ]),
    );
    const [last] = (await client.list<ClusterRun>('/cluster-runs', {}, 1)).items;
    line(dim(last ? runLine(last) : 'agents were never clustered; now: soulfra clusters find'));
  });

  clusters
    .command('show')
    .argument('<cluster>', 'id of the cluster')
    .description('members, and why they stand together in their own words')
    .action(async (id: string, _options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const cluster = await client.get<ClusterDetail>(`/clusters/${encodeURIComponent(id)}`);
      if (json) return printJson(cluster);
      line(`${bold(cluster.id)} · ${cluster.state} · ${cluster.members} members · born ${ago(cluster.bornAt)}`);
      if (cluster.splitFrom !== null) line(`split from ${cluster.splitFrom}`);
      if (cluster.mergedInto !== null) line(`merged into ${cluster.mergedInto}`);
      if (cluster.run && cluster.run.sampledShare < 1) {
        line(
          dim(
            `${Math.round(cluster.run.sampledShare * 100)} % of ${cluster.run.agents} agents were clustered, the others assigned`,
          ),
        );
      }
      for (const { term, quotes } of cluster.why) {
        line();
        line(bold(plain(term)));
        for (const { agentId, quote } of quotes) line(`  ${agentId}: “${plain(quote)}”`);
      }
      line();
      line(
        table(cluster.agents, [
          ['AGENT', (agent) => agent.id],
          ['NAME', (agent) => agent.name],
          ['DRIFT', (agent) => agent.drift],
        ]),
      );
    });

  clusters
    .command('find')
    .option('--dry-run', 'check only')
    .description('cluster the agents now')
    .action(async ({ dryRun }: { dryRun?: boolean }, command: Command) => {
      const { client, json } = sessionOf(command);
      const answer = await client.post<{ workflowId?: string; would?: string }>('/clusters/find', {}, { dryRun });
      if (json) return printJson(answer);
      line(
        answer.would === undefined
          ? `${good('✔')} started ${answer.workflowId} (soulfra clusters list)`
          : `would ${answer.would}`,
      );
    });
}
