import { existsSync } from 'node:fs';
import { type Command, Option } from 'commander';
import { badInput, CommandFailure, exitCodes } from '../failures.ts';
import { tellLost } from '../lost.ts';
import { confirm, dim, good, line, plain, printJson, table } from '../output.ts';
import { limitOption, sessionOf } from '../program.ts';
import { save } from '../save.ts';

interface Memory {
  id: string;
  seq: number;
  kind: string;
  text: string;
  importance: number;
  occurredAt: string;
  validTo: string | null;
}
interface Found {
  items: Array<Memory & { score: number; parts: { recency: number; importance: number; relevance: number } }>;
  scored: number;
  unembedded: number;
  model: string | null;
}
interface Taken {
  would?: string;
  reflections?: string[];
  forgotten?: string[];
  copies?: string[];
  messages?: string[];
  packages?: string[];
}
interface Place {
  line: number;
  at?: string;
}
interface Imported {
  added: number;
  known: number;
  refused: number;
  errors: Array<Place & { code: string; detail: string; mend: string }>;
  errorsLeftOut: number;
  notes: Array<Place & { path: string; rule: string; mend: string }>;
  notesLeftOut: number;
  lost: Array<{ field: string; count: number; reason: string }>;
}
const mediaTypes = { ndjson: 'application/x-ndjson', 'generative-agents': 'application/json' } as const;
export function memoryCommands(program: Command): void {
  const memories = program.command('memories').description('what agents remember');

  memories
    .command('add')
    .argument('<agent>', 'id of the agent')
    .argument('<text>', 'what is remembered')
    .option('--importance <n>', '1 to 10', (text) => Number(text))
    .option('--kind <kind>', 'observation, conversation, …')
    .option('--at <time>', 'when it happened, ISO 8601; default: now')
    .option('--key <key>', 'your own id: what comes again under it is not added twice')
    .option('--dry-run', 'check only')
    .description('give an agent one memory')
    .action(
      async (
        agent: string,
        text: string,
        options: { importance?: number; kind?: string; at?: string; key?: string; dryRun?: boolean },
        command: Command,
      ) => {
        const { client, json } = sessionOf(command);
        const { importance, kind, at, key, dryRun } = options;
        const answer = await client.post<{ id?: string; seq?: number; would?: string }>(
          `/agents/${encodeURIComponent(agent)}/memories`,
          { text, importance, kind, occurredAt: at, externalKey: key, source: 'command' },
          { dryRun },
        );
        if (json) printJson(answer);
        else
          line(
            answer.would === undefined
              ? `${good('✔')} ${answer.id}, memory ${answer.seq} of ${agent}`
              : `would ${answer.would}`,
          );
      },
    );

  memories
    .command('import')
    .argument('<file>', 'NDJSON, a line a memory (docs/memory.md); or nodes.json of Generative Agents')
    .option('--as <agent>', 'everything goes to this agent, whoever the file names')
    .addOption(new Option('--format <format>', 'what the file is').choices(Object.keys(mediaTypes)).default('ndjson'))
    .option('--dry-run', 'say what would happen; add nothing')
    .description('give agents many memories; good lines go in, bad ones are told')
    .action(
      async (
        file: string,
        { as, format, dryRun }: { as?: string; format: keyof typeof mediaTypes; dryRun?: boolean },
        command: Command,
      ) => {
        if (!existsSync(file)) throw badInput(`there is no ${file}`);
        const { client, json } = sessionOf(command);
        const query = { dryRun, agentId: as, format };
        const imported = await client.file<Imported>('/memories', file, mediaTypes[format], query);
        if (json) printJson(imported);
        else tellImport(imported, file, dryRun === true);
        if (imported.refused === 0) return;
        throw new CommandFailure(`${imported.refused} lines were refused`, {
          exitCode: exitCodes.badInput,
          code: 'INVALID_INPUT',
        });
      },
    );

  memories
    .command('export')
    .argument('<agent>', 'id of the agent')
    .addOption(new Option('--format <format>', 'of the file').choices(Object.keys(mediaTypes)).default('ndjson'))
    .option('-o, --output <file>', 'default: the standard output')
    .description('what an agent remembers, as import takes it in again; all of it as ndjson')
    .action(async (agent: string, { format, output }: { format: string; output?: string }, command: Command) => {
      const { client } = sessionOf(command);
      const path = `/agents/${encodeURIComponent(agent)}/memories/export`;
      const { body, headers } = await client.download(path, { format });
      await save(body, output);
      tellLost(headers);
    });

  timeOptions(
    memories
      .command('search')
      .argument('<agent>', 'id of the agent')
      .argument('<words...>', 'what it is about')
      .description('what an agent remembers of something, and why it comes to mind'),
  ).action(async (agent: string, words: string[], { limit, at, knownAt }: ListOptions, command: Command) => {
    const { client, json } = sessionOf(command);
    const found = await client.get<Found>(`/agents/${encodeURIComponent(agent)}/memories/search`, {
      q: words.join(' '),
      limit: Math.min(limit, 200),
      at,
      knownAt,
    });
    if (json) return printJson(found);
    line(
      table(found.items, [
        ['SCORE', (memory) => memory.score.toFixed(2)],
        ['RECENT', (memory) => memory.parts.recency.toFixed(2)],
        ['IMPORTANT', (memory) => memory.parts.importance.toFixed(2)],
        ['RELEVANT', (memory) => memory.parts.relevance.toFixed(2)],
        ['HAPPENED', (memory) => memory.occurredAt.slice(0, 16).replace('T', ' ')],
        ['UNTIL', untilOf],
        ['TEXT', (memory) => memory.text],
      ]),
    );
    const without = found.unembedded === 0 ? '' : `, ${found.unembedded} of them by their words alone`;
    line(
      dim(
        `${found.scored} ${found.scored === 1 ? 'memory' : 'memories'} scored${without} · ${found.model ?? 'the model of embeddings did not answer'}`,
      ),
    );
  });

  for (const [verb, description] of [
    ['delete', 'take a memory away: it never comes to mind again, what rests on it still shows it'],
    ['forget', 'for a person’s request: its text, its vectors and every reflection that quotes it are gone for good'],
  ] as const) {
    const taking = memories
      .command(verb)
      .argument('<memory>', 'id of the memory')
      .requiredOption('--reason <text>', 'kept with the tombstone')
      .option('--dry-run', 'check only')
      .description(description)
      .action(
        async (id: string, options: { reason: string; dependents?: boolean; dryRun?: boolean }, command: Command) => {
          const { reason, dryRun } = options;
          const session = sessionOf(command);
          const { client, json } = session;
          if (verb === 'forget' && !dryRun && !(await confirm(`Forget ${id} for good?`, session))) return;
          const path = `/memories/${encodeURIComponent(id)}`;
          const answer =
            verb === 'delete'
              ? await client.delete<Taken>(path, { reason, dryRun })
              : await client.post<Taken>(
                  `${path}/forget`,
                  { reason, dependents: options.dependents ? 'forget' : 'keep' },
                  { dryRun },
                );
          if (json) return printJson(answer);
          if (answer.would !== undefined) return line(`would ${answer.would}`);
          line(`${good('✔')} ${verb === 'delete' ? 'deleted' : 'forgotten'}: ${id}`);
          for (const reflection of answer.forgotten ?? []) line(`  ${reflection} is forgotten with it`);
          for (const reflection of answer.reflections ?? []) line(`  ${reflection} rests on it and stays`);
          for (const message of answer.messages ?? []) line(`  the answer to ${message} cites it`);
          for (const loop of answer.packages ?? [])
            line(`  the loop package ${loop} holds it, and so does every copy of it`);
          for (const copy of answer.copies ?? [])
            line(`  ${copy} says the very same; forget it, too, if that is meant`);
        },
      );
    if (verb === 'forget') taking.option('--dependents', 'also reflections that rest on it without quoting it');
  }

  timeOptions(
    memories.command('list').argument('<agent>', 'id of the agent').description('memories of an agent, the last first'),
  ).action(async (agent: string, { limit, at, knownAt }: ListOptions, command: Command) => {
    const { client, json } = sessionOf(command);
    const page = await client.list<Memory>(`/agents/${encodeURIComponent(agent)}/memories`, { at, knownAt }, limit);
    if (json) return printJson(page);
    line(
      table(page.items, [
        ['SEQ', (memory) => memory.seq],
        ['HAPPENED', (memory) => memory.occurredAt.slice(0, 16).replace('T', ' ')],
        ['UNTIL', untilOf],
        ['KIND', (memory) => memory.kind],
        ['IMPORTANCE', (memory) => memory.importance],
        ['TEXT', (memory) => memory.text],
      ]),
    );
  });
}

interface ListOptions {
  limit: number;
  at?: string;
  knownAt?: string;
}

function timeOptions(command: Command): Command {
  return limitOption(command)
    .option('--at <time>', 'only what held then, ISO 8601')
    .option('--known-at <time>', 'only what was known then, ISO 8601');
}

function untilOf({ validTo }: Memory): string {
  return validTo === null ? '' : validTo.slice(0, 16).replace('T', ' ');
}

function tellImport(imported: Imported, file: string, dryRun: boolean): void {
  const where = ({ line: number, at }: Place) => `${file}:${number}${at === undefined ? '' : ` ${plain(at)}`}`;
  const more = (count: number) => count > 0 && line(`… and ${count} more`);
  for (const { code, detail, mend, ...place } of imported.errors)
    line(`${where(place)} ${code} ${plain(detail)}. ${plain(mend)}`);
  more(imported.errorsLeftOut);
  for (const { path, rule, mend, ...place } of imported.notes)
    line(dim(`${where(place)} ${plain(path)} ${plain(rule)}. ${plain(mend)}`));
  more(imported.notesLeftOut);
  for (const { field, count, reason } of imported.lost) line(dim(`not taken: ${plain(field)} of ${count}, ${reason}`));
  const verb = dryRun ? 'would be added' : 'added';
  line(`${imported.added} ${verb}, ${imported.known} known already, ${imported.refused} refused`);
}
