import type { Command } from 'commander';
import { bold, dim, good, line, plain, printJson, table } from '../output.ts';
import { limitOption, sessionOf } from '../program.ts';

interface Thread {
  id: string;
  kind: string;
  state: string;
  endedBy: string | null;
  title: string | null;
  score: number;
  memories: number;
  agents: number;
  parentId: string | null;
  mergedInto: string | null;
  lastAt: string | null;
}
interface ThreadDetail extends Thread {
  members: Array<{
    memoryId: string;
    agentId: string;
    agentName: string;
    text: string;
    occurredAt: string;
    score: number;
  }>;
  links: Array<{
    memoryId: string;
    otherId: string;
    score: number;
    cosine: number;
    overlap: number;
    hours: number;
    opposition: { by: string; one: string; other: string } | null;
  }>;
}
interface Weave {
  workflowId?: string;
  started?: boolean;
  unwoven?: number;
  would?: string;
}

export function threadCommands(program: Command): void {
  const threads = program.command('threads').description('what links memories of different agents');

  limitOption(
    threads
      .command('list')
      .option('--agent <id>', 'only where it remembers something of them')
      .option('--memory <id>', 'only those of this memory')
      .option('--kind <kind>', 'same_event, echo or contradiction')
      .option('--state <state>', 'live or ended')
      .description('threads, the last opened first'),
  ).action(
    async (
      options: { limit: number; agent?: string; memory?: string; kind?: string; state?: string },
      command: Command,
    ) => {
      const { client, json } = sessionOf(command);
      const { limit, agent, memory, kind, state } = options;
      const page = await client.list<Thread>('/threads', { agentId: agent, memoryId: memory, kind, state }, limit);
      if (json) return printJson(page);
      line(
        table(page.items, [
          ['THREAD', (thread) => thread.id],
          ['KIND', (thread) => thread.kind],
          ['STATE', (thread) => (thread.endedBy === null ? thread.state : `${thread.state}, ${thread.endedBy}`)],
          ['SCORE', (thread) => thread.score.toFixed(2)],
          ['MEMORIES', (thread) => thread.memories],
          ['AGENTS', (thread) => thread.agents],
          ['LAST', (thread) => time(thread.lastAt)],
          ['TITLE', (thread) => thread.title],
        ]),
      );
    },
  );

  threads
    .command('show')
    .argument('<thread>', 'id of the thread')
    .description('the memories of a thread, and why they are in it')
    .action(async (id: string, _options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const thread = await client.get<ThreadDetail>(`/threads/${encodeURIComponent(id)}`);
      if (json) return printJson(thread);
      line(bold(plain(thread.title ?? 'nothing left to quote')));
      const came = thread.parentId === null ? '' : ` · split from ${thread.parentId}`;
      const went = thread.mergedInto === null ? '' : ` · went into ${thread.mergedInto}`;
      line(dim(`${thread.kind} · ${thread.endedBy ?? thread.state} · score ${thread.score.toFixed(2)}${came}${went}`));
      const number = new Map(thread.members.map(({ memoryId }, i) => [memoryId, i + 1]));
      for (const member of thread.members) {
        line();
        line(
          `${number.get(member.memoryId)}  ${time(member.occurredAt)}  ${plain(member.agentName)} (${member.agentId})`,
        );
        line(`   ${plain(member.text)}`);
        for (const link of thread.links.filter(({ memoryId }) => memoryId === member.memoryId)) {
          const parts = `cosine ${link.cosine.toFixed(2)}, words ${link.overlap.toFixed(2)}, ${link.hours.toFixed(1)} h`;
          const against =
            link.opposition && ` · “${plain(link.opposition.one)}” against “${plain(link.opposition.other)}”`;
          line(dim(`   ← ${number.get(link.otherId)}: ${link.score.toFixed(2)} (${parts})${against ?? ''}`));
        }
      }
    });

  threads
    .command('weave')
    .option('--dry-run', 'check only')
    .description('weave what is new now, not only on its hour')
    .action(async ({ dryRun }: { dryRun?: boolean }, command: Command) => {
      const { client, json } = sessionOf(command);
      const weave = await client.post<Weave>('/threads/weave', {}, { dryRun });
      if (json) return printJson(weave);
      if (weave.would !== undefined) return line(`would ${weave.would}`);
      line(`${good('✔')} ${weave.workflowId}: ${weave.unwoven} memories to weave`);
    });
}

function time(at: string | null): string {
  return at === null ? '' : at.slice(0, 16).replace('T', ' ');
}
