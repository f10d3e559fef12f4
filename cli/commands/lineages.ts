import type { Command } from 'commander';
import { lineageTree, type TreeMember } from '../lineage-tree.ts';
import { bold, dim, good, line, plain, printJson, warn } from '../output.ts';
import { sessionOf } from '../program.ts';

const mostMembers = 10_000;

/** Added to `soulfra agents`: how agents descend from one another, and who leaves and comes back. */
export function lineageCommands(agents: Command): void {
  agents
    .command('tree')
    .argument('[agent]', 'only its lineage')
    .description('who descends from whom, with origin, state and ego (voting weight)')
    .action(async (agent: string | undefined, _options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const page = await client.list<TreeMember>('/lineages', { agentId: agent }, mostMembers);
      if (json) return printJson(page);
      if (page.items.length === 0) return line('No agent has children.');
      for (const text of lineageTree(page.items, told)) line(text);
      if (page.nextCursor !== null) line(dim(`only the first ${mostMembers} are shown; name an agent`));
    });

  for (const [verb, description] of [
    ['retire', 'out of the fleet; memories stay, its ego (voting weight) goes to its nearest living ancestor'],
    ['revive', 'back into the fleet, with its ego as far as its holder still has it'],
  ] as const) {
    agents
      .command(verb)
      .argument('<agent>', 'id of the agent')
      .option('--dry-run', 'check only')
      .description(description)
      .action(async (id: string, { dryRun }: { dryRun?: boolean }, command: Command) => {
        const { client, json } = sessionOf(command);
        const answer = await client.post<{
          ego: number;
          egoTo?: string | null;
          egoFrom?: string | null;
          would?: string;
        }>(`/agents/${encodeURIComponent(id)}/${verb}`, {}, { dryRun });
        if (json) return printJson(answer);
        if (answer.would !== undefined) return line(`would ${answer.would}`);
        const other = answer.egoTo ?? answer.egoFrom ?? null;
        const moved =
          other === null
            ? ''
            : `, ego ${answer.ego.toLocaleString('en')} ${verb === 'retire' ? 'to' : 'from'} ${other}`;
        line(`${good('✔')} ${verb}d ${id}${moved}`);
      });
  }
}

function told({ id, name, origin, state, ego, generation }: TreeMember): string {
  const shown = state === 'active' ? '' : ` ${warn(state)}`;
  return `${bold(id)} ${plain(name)}${shown} ${dim(`generation ${generation}, ${origin}, ego ${ego.toLocaleString('en')}`)}`;
}
