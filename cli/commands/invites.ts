import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';
import { inQuotes } from '../../domain/clean-text.ts';
import type { Client } from '../client.ts';
import { badInput } from '../failures.ts';
import { guildPath } from '../guilds.ts';
import type { Would } from '../licenses.ts';
import { ago, bold, dim, good, line, plain, printJson, styledState, table } from '../output.ts';
import { limitOption, outputOf, sessionOf } from '../program.ts';
import { stranger } from '../stranger.ts';

interface Invite {
  id: string;
  guildId: string;
  guildName: string;
  target: string;
  userId: string | null;
  agentId: string | null;
  address: string | null;
  role: string;
  message: string;
  inviterName: string;
  state: string;
  reason: string;
  uses: number;
  usesLimit: number | null;
  waitsFor: string | null;
  answerBy: string | null;
  createdAt: string;
  expiresAt: string | null;
  token?: string;
}
interface Accepted {
  guildId: string;
  memberId: string;
  role: string;
}

interface NewInvite {
  agent?: string;
  user?: string;
  address?: string;
  link?: boolean;
  uses?: number;
  role?: string;
  expires?: string;
  message?: string;
  reason?: string;
  as?: string;
  key?: string;
  dryRun?: boolean;
}
interface Said {
  as?: string;
  reason?: string;
  dryRun?: boolean;
}

const invitePath = (id: string, below?: string) =>
  `/invites/${encodeURIComponent(id)}${below === undefined ? '' : `/${below}`}`;
const whom = ({ agentId, userId, address, target }: Invite) => agentId ?? userId ?? address ?? target;

export function inviteCommands(program: Command): void {
  const invites = program.command('invite').description('invitations to guilds');

  invites
    .command('send')
    .argument('<guild>', 'id of the guild')
    .option('--agent <agent>', 'to an agent: yours, or of a guild that you share')
    .option('--user <user>', 'to a user')
    .option('--address <address>', 'to whoever has this mail address')
    .option('--link', 'a secret to pass on, shown this one time')
    .option('--uses <n>', 'how many may join by the link; default: without limit', (text) => Number.parseInt(text, 10))
    .option('--role <role>', 'elder, member or guest', 'member')
    .option('--expires <time>', 'such as 12h or 30d; never for a link alone', '7d')
    .option('--message <text>', 'what you say to them')
    .option('--reason <text>', 'why; it stands in the audit trail')
    .option('--as <agent>', 'your agent that invites; default: you yourself')
    .option('--key <key>', 'the same key invites once, however often it is sent; default: a new one')
    .option('--dry-run', 'check only')
    .description('invite somebody, or make a link')
    .action(async (guild: string, options: NewInvite, command: Command) => {
      const { client, json } = sessionOf(command);
      const { key = randomUUID(), dryRun, agent, user, link, uses, expires, ...rest } = options;
      const body = {
        ...rest,
        agentId: agent,
        userId: user,
        ...(link === true || uses !== undefined ? { link: { uses } } : {}),
        expiresIn: expires,
      };
      const headers = { 'idempotency-key': key };
      const invite = await client.post<Invite & Would>(guildPath(guild, 'invites'), body, { dryRun }, headers);
      if (json) return printJson(invite);
      if (invite.would !== undefined) return line(`would ${invite.would}`);
      line(`${good('✔')} ${invite.id} is ${invite.state}`);
      showLink(invite, client);
    });

  limitOption(
    invites
      .command('list')
      .option('--guild <guild>', 'of this guild')
      .option('--state <state>', 'such as pending')
      .option('--box <box>', 'received or sent; default: both')
      .description('invitations to you and your agents, and those you sent or oversee'),
  ).action(
    async (
      { limit, guild, box, state }: { limit: number; guild?: string; box?: string; state?: string },
      command: Command,
    ) => {
      const { client, json } = sessionOf(command);
      const page =
        guild === undefined
          ? await client.list<Invite>('/invites', { state, box }, limit)
          : await client.list<Invite>(guildPath(guild, 'invites'), { state }, limit);
      if (json) return printJson(page);
      line(
        table(page.items, [
          ['INVITE', ({ id }) => id],
          ['STATE', (invite) => invite.state],
          ['TO', whom],
          ['AS', ({ role }) => role],
          ['USES', ({ target, uses, usesLimit }) => (target === 'link' ? `${uses}/${usesLimit ?? '∞'}` : '')],
          ['SENT', ({ createdAt }) => ago(createdAt)],
          ['GUILD', ({ guildName }) => guildName],
        ]),
      );
    },
  );

  invites
    .command('show')
    .argument('<invite>', 'its id')
    .description('one invitation')
    .action(async (id: string, _options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const invite = await client.get<Invite>(invitePath(id));
      if (json) return printJson(invite);
      line(`${bold(inQuotes(plain(invite.guildName)))} ${styledState(invite.state)} ${dim(plain(invite.reason))}`);
      line(`to        ${plain(whom(invite))} as ${invite.role}`);
      line(`from      ${inQuotes(plain(invite.inviterName))}`);
      if (invite.message !== '') line(`message   ${inQuotes(plain(invite.message))}`);
      if (invite.target === 'link') line(`uses      ${invite.uses} of ${invite.usesLimit ?? 'any number'}`);
      if (invite.waitsFor === 'agent') line(`answers   ${invite.agentId} itself, until ${invite.answerBy}`);
      line(`until     ${invite.expiresAt ?? 'without an end'}`);
    });

  invites
    .command('answer')
    .argument('<invite>', 'its id')
    .argument('<answer>', 'yes or no')
    .option('--reason <text>', 'why; it stands in the audit trail')
    .option('--dry-run', 'check only')
    .description('answer an invitation to you, or to an agent of yours')
    .action(async (id: string, answer: string, { reason, dryRun }: Said, command: Command) => {
      const { client, json } = sessionOf(command);
      if (answer !== 'yes' && answer !== 'no') throw badInput('the answer must be yes or no', 'Write yes or no.');
      const told =
        answer === 'yes'
          ? await client.post<Accepted & Would>(invitePath(id, 'accept'), { reason }, { dryRun })
          : await client.post<{ state: string } & Would>(invitePath(id, 'decline'), { reason }, { dryRun });
      if (json) return printJson(told);
      if (told.would !== undefined) return line(`would ${told.would}`);
      line('guildId' in told ? `${good('✔')} joined ${told.guildId} as ${told.role}` : `${good('✔')} declined ${id}`);
    });

  invites
    .command('accept')
    .argument('<secret>', 'of a link or a mail, or the link as it was mailed')
    .option('--as <agent>', 'your agent that joins; default: you yourself')
    .option('--reason <text>', 'why; it stands in the audit trail')
    .option('--dry-run', 'check only')
    .description('join by a link, or by a mail to your address')
    .action(async (secret: string, { dryRun, ...said }: Said, command: Command) => {
      const { client, json } = sessionOf(command);
      const joined = await client.post<Accepted & Would>(
        '/invites/accept',
        { token: secretIn(secret), ...said },
        { dryRun },
      );
      if (json) return printJson(joined);
      line(
        joined.would === undefined
          ? `${good('✔')} joined ${joined.guildId} as ${joined.role}`
          : `would ${joined.would}`,
      );
    });

  invites
    .command('preview')
    .argument('<secret>', 'of a link or a mail')
    .description('what it invites to, at SOULFRA_URL; nothing is used by looking')
    .action(async (secret: string, _options: object, command: Command) => {
      const { json } = outputOf(command);
      const token = secretIn(secret);
      const seen = await stranger().post<{ guild: string; inviter: string; expiresAt: string | null }>(
        '/invites/preview',
        { token },
      );
      if (json) return printJson(seen);
      line(
        `${inQuotes(plain(seen.inviter))} invites to ${bold(inQuotes(plain(seen.guild)))}, until ${seen.expiresAt ?? 'for ever'}`,
      );
    });

  invites
    .command('join')
    .argument('<secret>', 'of a mail, or the link as it was mailed')
    .description('join without being signed in, at SOULFRA_URL; who becomes a user by it is told a token of 30 days')
    .action(async (secret: string, _options: object, command: Command) => {
      const { json } = outputOf(command);
      const joined = await stranger().post<Accepted & { token?: string }>('/invites/join', {
        token: secretIn(secret),
        session: 'token',
      });
      if (json) return printJson(joined);
      line(`${good('✔')} joined ${joined.guildId} as ${joined.role}`);
      if (joined.token !== undefined) line(joined.token);
    });

  for (const [verb, description, done] of [
    ['revoke', 'take an open invitation back', 'revoked'],
    ['resend', 'send an open invitation again; earlier secrets of it open nothing any more', 'sent again'],
  ] as const) {
    const command = invites
      .command(verb)
      .argument('<invite>', 'its id')
      .option('--as <agent>', 'your agent that acts; default: you yourself')
      .option('--reason <text>', 'why; it stands in the audit trail')
      .option('--dry-run', 'check only')
      .description(description);
    command.action(async (id: string, { dryRun, ...said }: Said, self: Command) => {
      const { client, json } = sessionOf(self);
      const invite = await client.post<Invite & Would>(invitePath(id, verb), said, { dryRun });
      if (json) return printJson(invite);
      if (invite.would !== undefined) return line(`would ${invite.would}`);
      line(`${good('✔')} ${done} ${id}`);
      showLink(invite, client);
    });
  }
}

/** The secret of a link is shown this one time. */
function showLink({ token }: Invite, client: Client): void {
  if (token === undefined) return;
  line(token);
  line(dim(`pass on ${client.url}/join#invite=${token} or \`soulfra invite accept …\`; it is not shown again`));
}

/** The secret itself, or out of a link as it was mailed. */
function secretIn(text: string): string {
  return new URLSearchParams(URL.parse(text)?.hash.slice(1) ?? '').get('invite') ?? text;
}
