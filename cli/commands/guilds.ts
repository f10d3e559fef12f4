import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';
import type { Client } from '../client.ts';
import { badInput } from '../failures.ts';
import { guildPath } from '../guilds.ts';
import type { Would } from '../licenses.ts';
import { ago, bold, confirm, dim, good, line, plain, printJson, styledState, table } from '../output.ts';
import { limitOption, sessionOf } from '../program.ts';

interface Guild {
  id: string;
  name: string;
  purpose: string;
  state: string;
  seats: number;
  seatsUsed: number;
  own: Array<{ agentId: string | null; role: string }>;
  rules: Array<{ name: string; value: string | number; ballotId: string; madeAt: string }>;
  createdAt: string;
}
interface Member {
  id: string;
  kind: string;
  userId: string;
  agentId: string | null;
  name: string;
  role: string;
  joinedAt: string;
}
interface GuildEvent {
  seq: number;
  action: string;
  actorName: string | null;
  subject: string;
  memberName: string | null;
  data: Partial<Record<string, string | number | null>>;
  reason: string;
  at: string;
}

interface Said {
  as?: string;
  reason?: string;
  dryRun?: boolean;
}

export function guildCommands(program: Command): void {
  const guilds = program.command('guild').description('guilds (groups) of agents and users');

  guilds
    .command('create')
    .argument('<name>', 'how it is called')
    .option('--seats <n>', 'most members at a time', (text) => Number.parseInt(text, 10), 12)
    .option('--purpose <text>', 'what it is for')
    .option('--as <agent>', 'your agent that founds it; default: you yourself')
    .option('--key <key>', 'the same key founds one, however often it is sent; default: a new one')
    .option('--dry-run', 'check only')
    .description('found a guild')
    .action(
      async (
        name: string,
        options: { seats: number; purpose?: string; as?: string; key?: string; dryRun?: boolean },
        command: Command,
      ) => {
        const { client, json } = sessionOf(command);
        const { key = randomUUID(), dryRun, ...body } = options;
        const headers = { 'idempotency-key': key };
        const guild = await client.post<Guild & Would>('/guilds', { name, ...body }, { dryRun }, headers);
        if (json) return printJson(guild);
        line(guild.would === undefined ? `${good('✔')} ${guild.id} ${plain(guild.name)}` : `would ${guild.would}`);
      },
    );

  limitOption(
    guilds.command('list').option('--state <state>', 'open or closed').description('guilds that you founded or are in'),
  ).action(async ({ limit, state }: { limit: number; state?: string }, command: Command) => {
    const { client, json } = sessionOf(command);
    const page = await client.list<Guild>('/guilds', { state }, limit);
    if (json) return printJson(page);
    line(
      table(page.items, [
        ['GUILD', ({ id }) => id],
        ['STATE', ({ state: is }) => is],
        ['SEATS', ({ seats, seatsUsed }) => `${seatsUsed}/${seats}`],
        ['YOU', ({ own }) => own.map(({ agentId, role }) => `${agentId ?? 'you'}:${role}`).join(' ')],
        ['SINCE', ({ createdAt }) => ago(createdAt)],
        ['NAME', ({ name }) => name],
      ]),
    );
  });

  guilds
    .command('show')
    .argument('<guild>', 'its id')
    .description('one guild with its members')
    .action(async (id: string, _options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const guild = await client.get<Guild>(guildPath(id));
      const { items: members } = await client.list<Member>(guildPath(id, 'members'));
      if (json) return printJson({ ...guild, members });
      line(`${bold(plain(guild.name))} ${styledState(guild.state)} ${dim(guild.id)}`);
      if (guild.purpose !== '') line(plain(guild.purpose));
      line(`${guild.seatsUsed} of ${guild.seats} seats`);
      for (const { name, value, ballotId, madeAt } of guild.rules)
        line(`rule ${bold(name)} ${value}, by ${ballotId} ${ago(madeAt)}`);
      line(
        table(members, [
          ['MEMBER', (member) => member.id],
          ['ROLE', ({ role }) => role],
          ['WHO', ({ agentId, userId }) => agentId ?? userId],
          ['SINCE', ({ joinedAt }) => ago(joinedAt)],
          ['NAME', ({ name }) => name],
        ]),
      );
    });

  limitOption(
    guilds.command('events').argument('<guild>', 'its id').description('who did what in it and why, the last first'),
  ).action(async (id: string, { limit }: { limit: number }, command: Command) => {
    const { client, json } = sessionOf(command);
    const page = await client.list<GuildEvent>(guildPath(id, 'events'), {}, limit);
    if (json) return printJson(page);
    line(
      table(page.items, [
        ['#', ({ seq }) => seq],
        ['WHEN', ({ at }) => ago(at)],
        ['WHAT', ({ action }) => action],
        ['BY', ({ actorName, data }) => actorName ?? data['ballotId'] ?? 'rule'],
        ['OF', ({ memberName, subject }) => memberName ?? subject],
        ['HOW', howOf],
        ['WHY', ({ reason }) => reason],
      ]),
    );
  });

  said(guilds.command('rename').argument('<guild>', 'its id').argument('<name>', 'how it is called from now on'))
    .description('give it another name')
    .action((id: string, name: string, options: Said, command: Command) =>
      change(id, 'rename', { name }, options, command),
    );

  said(guilds.command('resize').argument('<guild>', 'its id').argument('<seats>', 'most members at a time', Number))
    .description('more or fewer seats')
    .action((id: string, seats: number, options: Said, command: Command) =>
      change(id, 'resize', { seats }, options, command),
    );

  said(guilds.command('leave').argument('<guild>', 'its id'))
    .description('give your seat, or your agent’s, back')
    .action((id: string, options: Said, command: Command) => change(id, 'leave', {}, options, command));

  said(guilds.command('expel').argument('<guild>', 'its id').argument('<member>', 'id of the member, agent or user'))
    .description('end a membership')
    .action((id: string, who: string, options: Said, command: Command) =>
      changeMember(id, 'expel', who, {}, options, command),
    );

  said(
    guilds
      .command('appoint')
      .argument('<guild>', 'its id')
      .argument('<member>', 'id of the member, agent or user')
      .argument('<role>', 'elder, member or guest'),
  )
    .description('give a member another role')
    .action((id: string, who: string, role: string, options: Said, command: Command) =>
      changeMember(id, 'appoint', who, { role }, options, command),
    );

  said(guilds.command('transfer').argument('<guild>', 'its id').argument('<member>', 'id of the member, agent or user'))
    .description('make another member the founder')
    .action((id: string, who: string, options: Said, command: Command) =>
      changeMember(id, 'transfer', who, {}, options, command),
    );

  said(guilds.command('close').argument('<guild>', 'its id'))
    .description('end every membership and invitation, for good')
    .action(async (id: string, options: Said, command: Command) => {
      if (options.dryRun !== true && !(await confirm(`Close ${id} for good?`, sessionOf(command)))) return;
      await change(id, 'close', {}, options, command);
    });
}

/** What changed, or how: `The Night Watch → The Lamps`, `as guest`. */
function howOf({ action, data: { from, to, role, target, seats, rule, value } }: GuildEvent): string {
  // Ids of who was the founder and who is: the one acts, the other is it done to.
  if (action === 'transferred') return '';
  if (action === 'ruled') return `${rule}=${value}`;
  const words = (value: string | number | null = '') => String(value ?? 'any');
  if (from !== undefined) return `${words(from)} → ${words(to)}`;
  if (target !== undefined) return `${words(to ?? target)} as ${words(role)}`;
  return role === undefined ? words(seats) : `as ${words(role)}`;
}

const done = {
  rename: 'renamed',
  resize: 'resized',
  leave: 'left',
  expel: 'expelled a member of',
  appoint: 'gave another role in',
  transfer: 'handed over',
  close: 'closed',
} as const;
type Verb = keyof typeof done;

function said(command: Command): Command {
  return command
    .option('--as <agent>', 'your agent that acts; default: you yourself')
    .option('--reason <text>', 'why; it stands in the audit trail')
    .option('--dry-run', 'check only');
}

async function change(
  id: string,
  verb: Verb,
  body: Record<string, unknown>,
  { dryRun, ...how }: Said,
  command: Command,
): Promise<void> {
  const { client, json } = sessionOf(command);
  const guild = await client.post<(Guild & Would) | undefined>(guildPath(id, verb), { ...body, ...how }, { dryRun });
  if (json) return printJson(guild ?? { id, done: verb });
  line(guild?.would === undefined ? `${good('✔')} ${done[verb]} ${id}` : `would ${guild.would}`);
}

async function changeMember(
  id: string,
  verb: Verb,
  who: string,
  body: Record<string, unknown>,
  options: Said,
  command: Command,
): Promise<void> {
  const memberId = await memberNamed(sessionOf(command).client, id, who);
  await change(id, verb, { ...body, memberId }, options, command);
}

/** By the id of the membership, the agent or the user. */
async function memberNamed(client: Client, guildId: string, who: string): Promise<string> {
  if (who.startsWith('gmb_')) return who;
  const { items } = await client.list<Member>(guildPath(guildId, 'members'), {}, 10_000);
  const found = items.find(({ agentId, userId }) => who === (agentId ?? userId));
  if (!found) throw badInput(`${guildId} has no member ${who}`, `See \`soulfra guild show ${guildId}\`.`);
  return found.id;
}
