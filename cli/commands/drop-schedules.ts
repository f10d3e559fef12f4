import type { Command } from 'commander';
import { channelIdsOf } from '../channels.ts';
import { confirm, good, line, plain, printJson, table } from '../output.ts';
import { sessionOf } from '../program.ts';

interface DropSchedule {
  id: string;
  agentId: string | null;
  clusterId: string | null;
  guildId: string | null;
  times: string[];
  timeZone: string;
  perDay: number;
  paused: boolean;
  note: string;
  nextAt: string;
  would?: string;
}

const pathOf = (id: string) => `/drop-schedules/${encodeURIComponent(id)}`;
const whoseOf = ({ agentId, clusterId, guildId }: DropSchedule) => agentId ?? clusterId ?? guildId;

/** `soulfra drops schedule …` */
export function dropScheduleCommands(drops: Command): void {
  const schedule = drops.command('schedule').description('when drops are composed from reflections');

  schedule
    .command('add')
    .requiredOption('--at <times...>', 'local times such as 09:00 18:30')
    .requiredOption('--channel <channels...>', 'where they go, by name or id')
    .option('--agent <agent>', 'whose reflections: this agent')
    .option('--cluster <cluster>', 'or this cluster')
    .option('--guild <guild>', 'or this guild')
    .option('--weekdays <days...>', '1 (Monday) to 7')
    .option('--time-zone <zone>', 'such as Europe/Berlin', 'UTC')
    .option('--jitter <minutes>', 'up to so much later, another time each day', '0')
    .option('--quiet <from-to>', 'nothing goes out then, such as 22:00-07:00')
    .option('--per-day <drops>', 'at most', '3')
    .option('--dry-run', 'check only')
    .description('have drops composed at these times')
    .action(
      async (
        options: {
          at: string[];
          channel: string[];
          agent?: string;
          cluster?: string;
          guild?: string;
          weekdays?: string[];
          timeZone: string;
          jitter: string;
          quiet?: string;
          perDay: string;
          dryRun?: boolean;
        },
        command: Command,
      ) => {
        const { client, json } = sessionOf(command);
        const { at: times, channel, agent, cluster, guild, weekdays, timeZone, jitter, quiet, perDay } = options;
        const [quietFrom, quietTo] = quiet?.split('-') ?? [];
        const when = {
          times,
          timeZone,
          jitterMinutes: Number(jitter),
          perDay: Number(perDay),
          ...(weekdays === undefined ? {} : { weekdays: weekdays.map(Number) }),
          ...(quiet === undefined ? {} : { quietFrom, quietTo }),
        };
        const channels = await channelIdsOf(client, channel);
        const body = { agentId: agent, clusterId: cluster, guildId: guild, channels, when };
        const made = await client.post<DropSchedule>('/drop-schedules', body, { dryRun: options.dryRun });
        if (json) return printJson(made);
        if (made.would !== undefined) return line(`would ${made.would}`);
        line(`${good('✔')} ${made.id} composes for ${whoseOf(made)}, the first time at ${made.nextAt}`);
      },
    );

  schedule
    .command('list')
    .description('schedules of drops')
    .action(async (_options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const page = await client.list<DropSchedule>('/drop-schedules');
      if (json) return printJson(page);
      line(
        table(page.items, [
          ['SCHEDULE', (one) => one.id],
          ['OF', whoseOf],
          ['TIMES', (one) => `${one.times.join(' ')} ${one.timeZone}`],
          ['A DAY', (one) => one.perDay],
          ['NEXT', (one) => (one.paused ? 'paused' : one.nextAt)],
          ['NOTE', (one) => plain(one.note)],
        ]),
      );
    });

  for (const word of ['pause', 'resume'] as const) {
    schedule
      .command(word)
      .argument('<schedule>', 'its id')
      .description(word === 'pause' ? 'compose nothing until `resume`' : 'compose again from the next time on')
      .action(async (id: string, _options: object, command: Command) => {
        const { client, json } = sessionOf(command);
        const changed = await client.post<DropSchedule>(`${pathOf(id)}/${word}`);
        if (json) return printJson(changed);
        line(`${good('✔')} ${id} ${changed.paused ? 'is paused' : `composes next at ${changed.nextAt}`}`);
      });
  }

  schedule
    .command('remove')
    .argument('<schedule>', 'its id')
    .description('remove it; the drops it has composed stay')
    .action(async (id: string, _options: object, command: Command) => {
      const session = sessionOf(command);
      if (!(await confirm(`Remove ${id}?`, session))) return;
      await session.client.delete(pathOf(id));
      if (session.json) printJson({ id, removed: true });
      else line(`${good('✔')} removed ${id}`);
    });
}
