import type { Command } from 'commander';
import { ago, bold, dim, line, plain, printJson, styledState, table } from '../output.ts';
import { limitOption, sessionOf } from '../program.ts';
import { type MadeWhisper, whisperLine } from '../whisper-lines.ts';

interface Whisper extends MadeWhisper {
  parentId: string;
  text: string;
  retryOf: string | null;
  name: string | null;
  personaSource: string | null;
  modelId: string | null;
  nearestId: string | null;
  nearestCosine: number | null;
  receivedAt: string;
  deadline: string | null;
  would?: string;
}

export function whisperCommands(program: Command): void {
  program
    .command('whisper')
    .argument('<agent>', 'whose child is asked for')
    .argument('<text>', 'what the new persona is called for')
    .option('--retry-of <whisper>', 'the refused or expired whisper that is asked again')
    .option('--dry-run', 'check only')
    .description('a whisper (request) that may call a new persona into being')
    .action(
      async (parentId: string, text: string, options: { retryOf?: string; dryRun?: boolean }, command: Command) => {
        const { client, json } = sessionOf(command);
        const { retryOf, dryRun } = options;
        const body = { parentId, text, ...(retryOf === undefined ? {} : { retryOf }) };
        const whisper = await client.post<Whisper>('/whispers', body, { dryRun });
        if (json) return printJson(whisper);
        if (whisper.would !== undefined) return line(`would ${whisper.would}`);
        line(whisperLine(whisper));
      },
    );

  const whispers = program.command('whispers').description('whispers (requests for a new persona)');
  limitOption(
    whispers
      .command('list')
      .option('--state <state>', 'received, awaiting_approval, spawned, refused or expired')
      .option('--parent <agent>', 'only for children of this agent')
      .description('the last received first'),
  ).action(async (options: { limit: number; state?: string; parent?: string }, command: Command) => {
    const { client, json } = sessionOf(command);
    const { limit, state, parent } = options;
    const page = await client.list<Whisper>('/whispers', { state, parentId: parent }, limit);
    if (json) return printJson(page);
    line(
      table(page.items, [
        ['WHISPER', (whisper) => whisper.id],
        ['PARENT', (whisper) => whisper.parentId],
        ['STATE', (whisper) => whisper.state],
        ['BECAME', (whisper) => whisper.agentId],
        ['RECEIVED', (whisper) => ago(whisper.receivedAt)],
        ['WHY', (whisper) => (whisper.code === null ? '' : `${whisper.code}: ${whisper.reason}`)],
      ]),
    );
    if (page.nextCursor !== null) line(dim(`more: --limit ${limit * 2}`));
  });

  whispers
    .command('show')
    .argument('<whisper>', 'its id')
    .description('one whisper with its reason or its persona')
    .action(async (id: string, _options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const whisper = await client.get<Whisper>(`/whispers/${encodeURIComponent(id)}`);
      if (json) return printJson(whisper);
      line(`${bold(whisper.id)} of ${whisper.parentId}, ${ago(whisper.receivedAt)}`);
      line(plain(whisper.text));
      line();
      line(
        `state     ${styledState(whisper.state)}${whisper.code === null ? '' : ` ${whisper.code}: ${plain(whisper.reason)}`}`,
      );
      if (whisper.retryOf !== null) line(`retry of  ${whisper.retryOf}`);
      if (whisper.name !== null)
        line(`name      ${plain(whisper.name)}${whisper.agentId === null ? '' : ` (${whisper.agentId})`}`);
      if (whisper.personaSource === 'extractive') line('persona   by rule, no model wrote it');
      else if (whisper.personaSource !== null) line(`persona   by ${whisper.modelId}`);
      if (whisper.nearestId !== null)
        line(`nearest   ${whisper.nearestId}, cosine ${whisper.nearestCosine?.toFixed(3)}`);
      if (whisper.state === 'awaiting_approval') line(`waits     for an operator, until ${whisper.deadline}`);
    });

  for (const verb of ['approve', 'refuse'] as const) {
    const decide = whispers
      .command(verb)
      .argument('<whisper>', 'its id')
      .option('--dry-run', 'check only')
      .description(
        verb === 'approve'
          ? 'lets the persona that waits be born'
          : 'ends one that is under way, whether it waits or not',
      );
    if (verb === 'refuse') decide.option('--reason <text>', 'why');
    decide.action(async (id: string, { dryRun, reason }: { dryRun?: boolean; reason?: string }, command: Command) => {
      const { client, json } = sessionOf(command);
      const body = reason === undefined ? {} : { reason };
      const whisper = await client.post<Whisper>(`/whispers/${encodeURIComponent(id)}/${verb}`, body, { dryRun });
      if (json) return printJson(whisper);
      line(whisper.would === undefined ? whisperLine(whisper) : `would ${whisper.would}`);
    });
  }
}
