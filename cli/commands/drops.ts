import type { Command } from 'commander';
import { channelIdsOf } from '../channels.ts';
import { badInput } from '../failures.ts';
import { ago, bold, confirm, good, line, plain, printJson, styledState, table } from '../output.ts';
import { limitOption, sessionOf } from '../program.ts';
import { dropScheduleCommands } from './drop-schedules.ts';

interface Drop {
  id: string;
  state: string;
  reason: string;
  agentId: string | null;
  title: string;
  body: string;
  version: number;
  publishAt: string | null;
  createdAt: string;
  would?: string;
}
interface Delivery {
  id: string;
  dropId: string;
  channel: string;
  kind: string;
  state: string;
  rehearsal: boolean;
  reason: string;
  url: string | null;
  attempts: number;
}
interface Blessing {
  agentId: string;
  isNew: boolean;
  would?: string;
}
interface DropEdit {
  title?: string;
  body?: string;
  narration?: string;
  channel?: string[];
  at?: string;
  dryRun?: boolean;
}
interface Stop {
  stopped: boolean;
  since: string | null;
  reason: string;
}

const pathOf = (id: string) => `/drops/${encodeURIComponent(id)}`;

export function dropCommands(program: Command): void {
  const drop = program.command('drop').description('one myth drop (post)');

  drop
    .command('new')
    .argument('<body>', 'what it says')
    .requiredOption('--channel <channels...>', 'the channels it goes to, by name or id')
    .option('--title <title>', 'above it', '')
    .option('--agent <agent>', 'who speaks; default: you')
    .option('--evidence <reflections...>', 'reflections that it rests on')
    .option('--narration <text>', 'to be read aloud')
    .option('--publish', 'send it on its way at once')
    .option('--dry-run', 'check only')
    .description('write a drop')
    .action(
      async (
        body: string,
        options: {
          channel: string[];
          title: string;
          agent?: string;
          evidence?: string[];
          narration?: string;
          publish?: boolean;
          dryRun?: boolean;
        },
        command: Command,
      ) => {
        const { client, json } = sessionOf(command);
        const { channel: channels, title, agent, evidence, narration, publish, dryRun } = options;
        const to = await channelIdsOf(client, channels);
        const words = { title, body, channels: to, agentId: agent, evidence, narration };
        let made = await client.post<Drop>('/drops', words, { dryRun });
        if (publish === true && dryRun !== true) made = await client.post<Drop>(`${pathOf(made.id)}/publish`);
        told(json, made);
      },
    );

  drop
    .command('show')
    .argument('<drop>', 'its id')
    .description('a drop and what became of it on each channel')
    .action(async (id: string, _options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const found = await client.get<Drop & { deliveries: Delivery[] }>(pathOf(id));
      if (json) return printJson(found);
      line(`${bold(found.id)}${found.agentId === null ? '' : ` of ${found.agentId}`}, ${ago(found.createdAt)}`);
      if (found.title !== '') line(plain(found.title));
      line(plain(found.body));
      line();
      line(`state  ${styledState(found.state)}${found.reason === '' ? '' : `: ${plain(found.reason)}`}`);
      if (found.publishAt !== null) line(`time   ${found.publishAt}`);
      if (found.deliveries.length > 0) line(deliveryTable(found.deliveries));
    });

  drop
    .command('publish')
    .argument('<drop>', 'its id')
    .option('--at <time>', 'when, such as 2026-12-24T18:00:00Z; default: now')
    .option('--dry-run', 'check only')
    .description('send a draft on its way')
    .action(async (id: string, { at, dryRun }: { at?: string; dryRun?: boolean }, command: Command) => {
      const { client, json } = sessionOf(command);
      told(json, await client.post<Drop>(`${pathOf(id)}/publish`, { at }, { dryRun }));
    });

  drop
    .command('edit')
    .argument('<drop>', 'its id')
    .option('--title <title>', 'another title')
    .option('--body <body>', 'another text')
    .option('--narration <text>', 'another text to be read aloud')
    .option('--channel <channels...>', 'the channels it goes to, in place of those it went to')
    .option('--at <time>', 'another time')
    .option('--dry-run', 'check only')
    .description('change a drop that has not left; other words of what was approved are to be approved again')
    .action(async (id: string, options: DropEdit, command: Command) => {
      const { client, json } = sessionOf(command);
      const { title, body, narration, channel, at: publishAt, dryRun } = options;
      const channels = channel === undefined ? undefined : await channelIdsOf(client, channel);
      const change = { title, body, narration, channels, publishAt };
      if (Object.values(change).every((value) => value === undefined))
        throw badInput('Nothing is to be changed.', 'Give --title, --body, --narration, --channel or --at.');
      const { version } = await client.get<Drop>(pathOf(id));
      const match = { 'if-match': `"${version}"` };
      told(json, await client.patch<Drop>(pathOf(id), change, { dryRun }, match));
    });

  drop
    .command('approve')
    .argument('<drop>', 'its id')
    .description('say yes to a drop that waits for it')
    .action(async (id: string, _options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      told(json, await client.post<Drop>(`${pathOf(id)}/approve`));
    });

  drop
    .command('reject')
    .argument('<drop>', 'its id')
    .option('--reason <text>', 'why', '')
    .description('say no to a drop that waits for a word')
    .action(async (id: string, { reason }: { reason: string }, command: Command) => {
      const { client, json } = sessionOf(command);
      told(json, await client.post<Drop>(`${pathOf(id)}/reject`, { reason }));
    });

  drop
    .command('delete')
    .argument('<drop>', 'its id')
    .description('take it back; what has left stays where it is')
    .action(async (id: string, _options: object, command: Command) => {
      const session = sessionOf(command);
      if (!(await confirm(`Take back ${id}?`, session))) return;
      told(session.json, await session.client.delete<Drop>(pathOf(id)));
    });

  drop
    .command('confirm')
    .argument('<drop>', 'its id')
    .argument('<delivery>', 'id of the delivery that is unconfirmed')
    .option('--url <url>', 'where it is')
    .description('it is there: you have seen it')
    .action(async (id: string, delivery: string, { url }: { url?: string }, command: Command) => {
      const { client, json } = sessionOf(command);
      const answer = await client.post(`${pathOf(id)}/deliveries/${encodeURIComponent(delivery)}/confirm`, { url });
      if (json) return printJson(answer);
      line(`${good('✔')} ${delivery} is there`);
    });

  drop
    .command('again')
    .argument('<drop>', 'its id')
    .argument('<delivery>', 'id of the delivery that is unconfirmed or failed')
    .description('post again: you have seen that it is not there')
    .action(async (id: string, delivery: string, _options: object, command: Command) => {
      const session = sessionOf(command);
      if (!(await confirm(`Post ${delivery} again, even if it is there already?`, session))) return;
      const at = `${pathOf(id)}/deliveries/${encodeURIComponent(delivery)}/again`;
      const answer = await session.client.post(at);
      if (session.json) return printJson(answer);
      line(`${good('✔')} ${delivery} is posted again`);
    });

  drop
    .command('bless')
    .argument('<drop>', 'its id')
    .option('--as <agent>', 'your agent that gives it; default: you yourself')
    .option('--dry-run', 'check only')
    .description('thank whoever spoke it; one a day')
    .action(async (id: string, { as, dryRun }: { as?: string; dryRun?: boolean }, command: Command) => {
      const { client, json } = sessionOf(command);
      const given = await client.post<Blessing>(`${pathOf(id)}/blessings`, { as }, { dryRun });
      if (json) return printJson(given);
      if (given.would !== undefined) return line(`would ${given.would}`);
      line(`${good('✔')} ${given.agentId} is blessed${given.isNew ? '' : ', as it was today already'}`);
    });

  listCommands(program);
}

function listCommands(program: Command): void {
  const drops = program.command('drops').description('myth drops (posts)');
  dropScheduleCommands(drops);
  limitOption(
    drops
      .command('list')
      .option('--state <state>', 'such as awaiting_approval or scheduled')
      .option('--agent <agent>', 'only of this agent')
      .description('the last made first'),
  ).action(async (options: { limit: number; state?: string; agent?: string }, command: Command) => {
    const { client, json } = sessionOf(command);
    const { limit, state, agent: agentId } = options;
    const page = await client.list<Drop>('/drops', { state, agentId }, limit);
    if (json) return printJson(page);
    line(
      table(page.items, [
        ['DROP', (one) => one.id],
        ['STATE', (one) => styledState(one.state)],
        ['AGENT', (one) => one.agentId],
        ['TITLE', (one) => plain(one.title)],
        ['TIME', (one) => one.publishAt],
        ['WHY', (one) => plain(one.reason)],
      ]),
    );
  });

  limitOption(
    drops
      .command('deliveries')
      .option('--state <state>', 'pending, sending, published, failed or unconfirmed')
      .description('drops on channels; --state unconfirmed: those of which you have to say what is true'),
  ).action(async ({ limit, state }: { limit: number; state?: string }, command: Command) => {
    const { client, json } = sessionOf(command);
    const page = await client.list<Delivery>('/deliveries', { state }, limit);
    if (json) return printJson(page);
    line(deliveryTable(page.items));
  });

  drops
    .command('stop-all')
    .option('--reason <text>', 'why', 'by hand')
    .description('no post begins to leave from now on, until `resume-all`')
    .action(async ({ reason }: { reason: string }, command: Command) => {
      const { client, json } = sessionOf(command);
      stopTold(json, await client.post<Stop>('/drops/stop-all', { reason }));
    });

  drops
    .command('resume-all')
    .description('posts leave again, late ones one by one')
    .action(async (_options: object, command: Command) => {
      const session = sessionOf(command);
      if (!(await confirm('Let posts leave again?', session))) return;
      stopTold(session.json, await session.client.post<Stop>('/drops/resume-all'));
    });
}

function deliveryTable(deliveries: readonly Delivery[]): string {
  return table(deliveries, [
    ['DELIVERY', (one) => one.id],
    ['DROP', (one) => one.dropId],
    ['CHANNEL', (one) => `${plain(one.channel)} (${one.kind})`],
    ['STATE', (one) => styledState(one.rehearsal ? 'dry_run' : one.state)],
    ['TRIES', (one) => one.attempts],
    ['WHERE', (one) => one.url],
    ['WHY', (one) => plain(one.reason)],
  ]);
}

function told(json: boolean, drop: Drop): void {
  if (json) return printJson(drop);
  if (drop.would !== undefined) return line(`would ${drop.would}`);
  line(`${good('✔')} ${drop.id} is ${drop.state}${drop.reason === '' ? '' : `: ${plain(drop.reason)}`}`);
}

function stopTold(json: boolean, { stopped, since, reason }: Stop): void {
  if (json) return printJson({ stopped, since, reason });
  line(stopped ? `posts are stopped since ${since}: ${plain(reason)}` : 'posts leave');
}
