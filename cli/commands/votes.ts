import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';
import { type Ballot, ballotPath, choiceOf, choiceWords, ego, type Vote } from '../ballots.ts';
import { badInput } from '../failures.ts';
import { ago, good, line, plain, printJson } from '../output.ts';
import { sessionOf } from '../program.ts';

const percent = (text: string) => Number.parseInt(text, 10);

export function proposeCommand(program: Command): void {
  program
    .command('propose')
    .argument('<title>', 'what is to be decided')
    .option('--text <text>', 'why, and how')
    .option('--option <text>', 'an option, in order; default: Yes and No', (text, all: string[]) => [...all, text], [])
    .option('--method <method>', 'single, approval, weighted, quadratic or ranked')
    .option('--approve-spawn <whisper>', 'passed, the persona that the whisper waits with is born')
    .option('--share-blessings', 'passed, the blessing pool is shared out')
    .option('--approve-drop <drop>', 'the first option lets the drop go that waits for a word, the second does not')
    .option(
      '--rule <name=value>',
      'passed, the guild keeps a rule: seats=20, invite=elder, expel=founder or close=ballot',
    )
    .option('--close-guild', 'passed, the guild is closed')
    .option('--guild <guild>', 'whose members vote; default: all your living agents')
    .option('--as <agent>', 'your agent that proposes; default: you yourself')
    .option('--discussion <time>', 'before the vote opens, such as 1d or 0s')
    .option('--vote <time>', 'how long it is open, such as 3d')
    .option('--extension <time>', 'what is left of it when the quorum is reached late')
    .option('--quorum <percent>', 'of the weight that must take part', percent)
    .option('--threshold <percent>', 'of what is chosen that the winner must have', percent)
    .option('--key <key>', 'the same key proposes once, however often it is sent; default: a new one')
    .option('--dry-run', 'check only')
    .description('a proposal: discussed, voted on, carried out')
    .action(async (title: string, options: Record<string, unknown>, command: Command) => {
      const { client, json } = sessionOf(command);
      const { option, approveSpawn, shareBlessings, approveDrop, rule, closeGuild, ...others } = options;
      const { guild, key = randomUUID(), dryRun, ...rest } = others;
      const effect = effectOf({ approveSpawn, shareBlessings, approveDrop, rule, closeGuild });
      const named = option as string[];
      const body = { title, ...rest, effect, guildId: guild, ...(named.length === 0 ? {} : { options: named }) };
      const headers = { 'idempotency-key': key as string };
      const ballot = await client.post<Ballot>('/ballots', body, { dryRun: dryRun as boolean | undefined }, headers);
      if (json) return printJson(ballot);
      if (ballot.would !== undefined) return line(`would ${plain(ballot.would)}`);
      line(`${good('✔')} ${ballot.id} “${plain(ballot.title)}”`);
      const isAtOnce = Date.parse(ballot.opensAt) <= Date.now();
      line(`  the vote opens ${isAtOnce ? 'at once' : ago(ballot.opensAt)}: soulfra vote ${ballot.id} …`);
    });
}

/** The one effect that is asked for. */
function effectOf(asked: Record<string, unknown>): Record<string, unknown> | undefined {
  const named = Object.entries(asked).filter(([, value]) => value !== undefined);
  if (named.length > 1) throw badInput('A proposal has one effect.', 'Ask for one of them.');
  const [name, value] = named[0] ?? [];
  switch (name) {
    case 'approveSpawn':
      return { kind: 'spawn_approval', whisperId: value };
    case 'shareBlessings':
      return { kind: 'blessing_share' };
    case 'approveDrop':
      return { kind: 'drop_approval', dropId: value };
    case 'rule':
      return { kind: 'guild_rule', rule: ruleOf(value as string) };
    case 'closeGuild':
      return { kind: 'guild_close' };
    default:
      return undefined;
  }
}

/** `seats=20` */
function ruleOf(written: string): { name: string; value: string | number } {
  const [, name, value] = /^([a-z]+)=([a-z0-9]+)$/.exec(written) ?? [];
  if (name === undefined || value === undefined)
    throw badInput(`${written} is no rule.`, 'Write seats=20, invite=elder, expel=founder or close=ballot.');
  return { name, value: /^\d+$/.test(value) ? Number(value) : value };
}

export function voteCommand(program: Command): void {
  program
    .command('vote')
    .argument('<ballot>', 'its id')
    .argument(
      '<choice>',
      'abstain; 2 or “Yes” for one option, by its place or its words; 1,3 for several or for an order; 1=60,2=40 for shares',
    )
    .option('--as <agent>', 'your agent that votes; default: you yourself, in a guild')
    .option('--reason <text>', 'why')
    .option('--dry-run', 'check only')
    .description('give a vote, or change it while the ballot is open')
    .action(
      async (
        id: string,
        written: string,
        { dryRun, ...said }: { as?: string; reason?: string; dryRun?: boolean },
        command: Command,
      ) => {
        const { client, json } = sessionOf(command);
        const ballot = await client.get<Ballot>(ballotPath(id));
        const vote = await client.put<Vote>(
          ballotPath(id, '/vote'),
          { choice: choiceOf(written, ballot), ...said },
          { dryRun },
        );
        if (json) return printJson(vote);
        if (vote.would !== undefined) return line(`would ${vote.would}`);
        line(`${good('✔')} ${vote.voterId}: ${choiceWords(vote.choice, ballot.options)}, with ${ego(vote.weight)}`);
      },
    );
}
