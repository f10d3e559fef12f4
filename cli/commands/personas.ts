import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { type Command, Option } from 'commander';
import { personaExports } from '../../domain/persona-files.ts';
import { badInput } from '../failures.ts';
import { tellLost } from '../lost.ts';
import { bold, dim, good, line, plain, printJson } from '../output.ts';
import { sessionOf } from '../program.ts';
import { save } from '../save.ts';

interface Imported {
  agentId: string;
  born: boolean;
  format: string;
  name: string;
  persona: string;
  traits: string[];
  memories: number;
  lost: Array<{ field: string; kept: boolean; reason: string }>;
  notes: Array<{ path: string; rule: string; mend: string }>;
}

/** Below `agents`, which agentCommands has made. */
export function personaCommands(program: Command): void {
  const agents = program.commands.find((command) => command.name() === 'agents')!;

  agents
    .command('import')
    .argument('<file>', 'a character of ElizaOS, or a character card: JSON or PNG')
    .option('--as <id>', 'id of the agent; default: made of its name')
    .option('--name <name>', 'in the place of the name in the file')
    .option('--archetype <archetype>', 'whose model, cadence and limits it gets; default: the first of fleet.yaml')
    .option('--memories', 'its facts and examples become memories')
    .option('--dry-run', 'say what would become of it')
    .description('an agent is born of a character of another program')
    .action(
      async (
        file: string,
        options: { as?: string; name?: string; archetype?: string; memories?: boolean; dryRun?: boolean },
        command: Command,
      ) => {
        if (!existsSync(file)) throw badInput(`there is no ${file}`);
        const { client, json } = sessionOf(command);
        const mediaType = isPng(file) ? 'image/png' : 'application/json';
        const imported = await client.file<Imported>('/agents/import', file, mediaType, { ...options });
        if (json) return printJson(imported);
        tell(imported, options.dryRun === true);
      },
    );

  agents
    .command('export')
    .argument('<agent>', 'id of the agent')
    .addOption(new Option('--format <format>', 'of the file').choices([...personaExports]).makeOptionMandatory())
    .option('-o, --output <file>', 'default: the standard output')
    .description('the persona as a character of another program')
    .action(async (id: string, { format, output }: { format: string; output?: string }, command: Command) => {
      if (format === 'card-png' && output === undefined && process.stdout.isTTY) {
        throw badInput('a picture does not go to a terminal', 'Add --output FILE.');
      }
      const { client } = sessionOf(command);
      const { body, headers } = await client.download(`/agents/${encodeURIComponent(id)}/export`, { format });
      await save(body, output);
      tellLost(headers);
    });
}

function tell({ agentId, born, name, persona, traits, memories, lost, notes }: Imported, dryRun: boolean): void {
  const verb = dryRun ? (born ? 'would be born' : 'is here already') : born ? 'is born' : 'was here already';
  line(
    `${good('✔')} ${bold(plain(name))} (${agentId}) ${verb}${traits.length > 0 ? `: ${plain(traits.join(', '))}` : ''}`,
  );
  line(plain(persona));
  if (memories > 0) line(`${memories} memories`);
  for (const { path, rule, mend } of notes) line(dim(`${plain(path)}: ${plain(rule)}. ${plain(mend)}`));
  for (const { field, kept, reason } of lost) {
    line(dim(`${kept ? 'kept, without effect' : 'not kept'}: ${plain(field)} (${plain(reason)})`));
  }
}

function isPng(file: string): boolean {
  const head = Buffer.alloc(4);
  const opened = openSync(file, 'r');
  try {
    readSync(opened, head, 0, head.length, 0);
  } finally {
    closeSync(opened);
  }
  return head.toString('latin1') === '\x89PNG';
}
