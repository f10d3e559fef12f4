import type { Command } from 'commander';
import { ago, bold, dim, good, line, plain, printJson, styledState, table } from '../output.ts';
import { limitOption, sessionOf } from '../program.ts';

interface Run {
  id: string;
  agentId: string;
  sweepId: string | null;
  workflowId: string;
  attempt: number;
  trigger: string;
  state: string;
  reason: string;
  wantedModelId: string;
  modelId: string;
  queue: string;
  degraded: boolean;
  machineId: string | null;
  tokens: number | null;
  promptTokens: number | null;
  modelCalls: number;
  reflections: number;
  dropped: Record<string, number>;
  moves: number;
  progress: { stage: string; done: number; of: number | null } | null;
  createdAt: string;
  startedAt: string | null;
  endedAt: string | null;
}
interface Sweep {
  id: string;
  workflowId: string;
  trigger: string;
  cadence: string | null;
  state: string;
  startedAt: string;
  total: number;
  counts: Record<string, number>;
  reflected: number;
  degraded: number;
  moved: number;
  byMachine: Record<string, number>;
  seconds: number;
  coordinationShare?: Record<string, number>;
}
interface Schedule {
  id: string;
  cadence: string | null;
  everySeconds: number | null;
  paused: boolean;
  note: string;
  nextRunAt: string | null;
  lastRunAt: string | null;
}

const dropWords: Record<string, string> = {
  duplicates: 'said nothing new',
  empty: 'empty',
  withoutEvidence: 'without evidence',
  tooDeep: 'too deep',
  other: 'otherwise refused',
  evidence: 'ids of evidence that were not shown',
};

interface Why {
  id: string;
  state: Run['state'];
  why: string;
  waitsFor: string | null;
  facts: string[];
  links: { temporal: string | null };
}

export function runCommands(program: Command): void {
  const runs = program.command('runs').description('single reflections of single agents');

  limitOption(
    runs
      .command('list')
      .option('--state <state>', 'queued, running, parked, done, empty, failed or canceled')
      .option('--agent <id>', 'only of this agent')
      .option('--sweep <id>', 'only of this sweep')
      .option('--machine <id>', 'only on this machine')
      .description('runs, the last first'),
  ).action(
    async (
      options: { limit: number; state?: string; agent?: string; sweep?: string; machine?: string },
      command: Command,
    ) => {
      const { client, json } = sessionOf(command);
      const { limit, state, agent, sweep, machine } = options;
      const filters = { state, agentId: agent, sweepId: sweep, machineId: machine };
      const page = await client.list<Run>('/runs', filters, limit);
      if (json) return printJson(page);
      line(
        table(page.items, [
          ['RUN', (run) => run.id],
          ['AGENT', (run) => run.agentId],
          ['STATE', (run) => (run.degraded ? `${run.state}, degraded` : run.state)],
          ['MACHINE', (run) => run.machineId],
          ['MODEL', (run) => run.modelId],
          ['WHEN', (run) => ago(run.endedAt ?? run.startedAt ?? run.createdAt)],
          ['REASON', (run) => run.reason],
        ]),
      );
    },
  );

  runs
    .command('show')
    .argument('<run>', 'id of the run')
    .description('one run')
    .action(async (id: string, _options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const run = await client.get<Run>(`/runs/${encodeURIComponent(id)}`);
      if (json) return printJson(run);
      line(
        `${run.id} · ${run.agentId} · ${styledState(run.state)}${run.degraded ? ', degraded' : ''}${run.reason === '' ? '' : `: ${plain(run.reason)}`}`,
      );
      line(
        `workflow   ${run.workflowId}, attempt ${run.attempt}, by ${run.trigger}${run.sweepId === null ? '' : `, of ${run.sweepId}`}`,
      );
      line(
        `model      ${run.modelId}${run.modelId === run.wantedModelId ? '' : ` in place of ${run.wantedModelId}`} on ${run.machineId ?? 'no machine yet'} (${run.queue})`,
      );
      if (run.progress !== null) {
        const { stage, done, of } = run.progress;
        line(`at         ${stage}${of === null ? '' : `, ${done} of ${of} calls`}`);
      }
      const dropped = Object.entries(run.dropped).filter(([, count]) => count > 0);
      line(
        `came to    ${run.reflections} reflections by ${run.modelCalls} model calls, ${run.tokens ?? 0} tokens from ${run.promptTokens ?? 'uncounted'} of prompts, ${run.moves} moves`,
      );
      if (dropped.length > 0)
        line(`dropped    ${dropped.map(([why, count]) => `${count} ${dropWords[why] ?? why}`).join(', ')}`);
      line(`times      queued ${run.createdAt}, started ${run.startedAt ?? '-'}, ended ${run.endedAt ?? '-'}`);
    });

  runs
    .command('why')
    .argument('<run>', 'id of the run')
    .description('why it is where it is, in plain words')
    .action(async (id: string, _options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const why = await client.get<Why>(`/runs/${encodeURIComponent(id)}/why`);
      if (json) return printJson(why);
      line(`${why.id} · ${styledState(why.state)}`);
      line(bold(plain(why.why)));
      if (why.waitsFor !== null) line(`waits for  ${plain(why.waitsFor)}`);
      for (const fact of why.facts) line(`  ${plain(fact)}`);
      if (why.links.temporal !== null) line(dim(why.links.temporal));
    });

  for (const [verb, description] of [
    ['cancel', 'end an open run without storing anything'],
    ['retry', 'start a failed or canceled run again'],
  ] as const) {
    runs
      .command(verb)
      .argument('<run>', 'id of the run')
      .option('--dry-run', 'check only')
      .description(description)
      .action(async (id: string, { dryRun }: { dryRun?: boolean }, command: Command) => {
        const { client, json } = sessionOf(command);
        const answer = await client.post<Partial<Run> & { would?: string }>(
          `/runs/${encodeURIComponent(id)}/${verb}`,
          {},
          { dryRun },
        );
        if (json) printJson(answer);
        else
          line(
            answer.would === undefined
              ? `${good('✔')} ${answer.id} is ${answer.state}, attempt ${answer.attempt}`
              : `would ${answer.would}`,
          );
      });
  }

  const sweeps = program.command('sweeps').description('cycles over many agents');

  sweeps
    .command('start')
    .option('--cadence <cadence>', 'only agents of this cadence, such as 6h')
    .option('--dry-run', 'check only')
    .description('have every agent reflect now, due or not')
    .action(async ({ cadence, dryRun }: { cadence?: string; dryRun?: boolean }, command: Command) => {
      const { client, json } = sessionOf(command);
      const answer = await client.post<{ id?: string; would?: string }>('/sweeps', { cadence }, { dryRun });
      if (json) printJson(answer);
      else
        line(
          answer.would === undefined
            ? `${good('✔')} ${answer.id} (soulfra sweeps show ${answer.id})`
            : `would ${answer.would}`,
        );
    });

  sweeps
    .command('show')
    .argument('[sweep]', 'id of the sweep; default: the last one')
    .option('--share', 'also which machine answered what share of workflow tasks')
    .description('what a sweep came to')
    .action(async (id: string | undefined, { share }: { share?: boolean }, command: Command) => {
      const { client, json } = sessionOf(command);
      const asked = id ?? (await client.list<{ id: string }>('/sweeps', {}, 1)).items[0]?.id;
      if (asked === undefined) return line('There has been no sweep yet.');
      const query = { include: share ? 'coordinationShare' : undefined };
      const sweep = await client.get<Sweep>(`/sweeps/${encodeURIComponent(asked)}`, query);
      if (json) return printJson(sweep);
      const counts = Object.entries(sweep.counts).filter(([, count]) => count > 0);
      line(
        `${sweep.id} · ${styledState(sweep.state)} · by ${sweep.trigger}${sweep.cadence === null ? '' : `, every ${sweep.cadence}`} · ${sweep.seconds.toFixed(1)} s`,
      );
      line(
        `${sweep.reflected} of ${sweep.total} agents reflected: ${counts.map(([state, count]) => `${count} ${state}`).join(', ')} · ${sweep.moved} moved · ${sweep.degraded} degraded`,
      );
      line(
        `by machine: ${
          Object.entries(sweep.byMachine)
            .map(([machine, count]) => `${machine} ${count}`)
            .join(', ') || 'none'
        }`,
      );
      if (sweep.coordinationShare) {
        const shares = Object.entries(sweep.coordinationShare).map(
          ([machine, part]) => `${machine} ${Math.round(part * 100)} %`,
        );
        line(`workflow tasks: ${shares.join(', ')}`);
      }
    });

  sweeps
    .command('cancel')
    .argument('<sweep>', 'id of the sweep')
    .option('--dry-run', 'check only')
    .description('leave out the agents that have not begun; runs at work go on')
    .action(async (id: string, { dryRun }: { dryRun?: boolean }, command: Command) => {
      const { client, json } = sessionOf(command);
      const answer = await client.post<Partial<Sweep> & { would?: string }>(
        `/sweeps/${encodeURIComponent(id)}/cancel`,
        {},
        { dryRun },
      );
      if (json) printJson(answer);
      else line(answer.would === undefined ? `${good('✔')} ${answer.id} is ${answer.state}` : `would ${answer.would}`);
    });

  limitOption(sweeps.command('list').description('sweeps, the last first')).action(
    async ({ limit }: { limit: number }, command: Command) => {
      const { client, json } = sessionOf(command);
      const page = await client.list<Sweep>('/sweeps', {}, limit);
      if (json) return printJson(page);
      line(
        table(page.items, [
          ['SWEEP', (sweep) => sweep.id],
          ['STATE', (sweep) => sweep.state],
          ['BY', (sweep) => (sweep.cadence === null ? sweep.trigger : `${sweep.trigger} ${sweep.cadence}`)],
          ['STARTED', (sweep) => ago(sweep.startedAt)],
        ]),
      );
    },
  );

  const schedules = program.command('schedules').description('what happens by the clock');

  schedules
    .command('list')
    .description('one Schedule per cadence of reflections, and one for each other work')
    .action(async (_options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const page = await client.list<Schedule>('/schedules', {}, 1000);
      if (json) return printJson(page);
      line(
        table(page.items, [
          ['SCHEDULE', (schedule) => schedule.id],
          [
            'EVERY',
            ({ cadence, everySeconds }) => cadence ?? (everySeconds === null ? 'by the calendar' : `${everySeconds} s`),
          ],
          ['STATE', (schedule) => (schedule.paused ? 'paused' : 'runs')],
          ['NEXT', (schedule) => ago(schedule.nextRunAt)],
          ['LAST', (schedule) => ago(schedule.lastRunAt)],
          ['NOTE', (schedule) => schedule.note],
        ]),
      );
    });

  for (const [verb, description] of [
    ['pause', 'it starts nothing until it is resumed'],
    ['resume', 'it starts its work again'],
    ['trigger', 'its work now; agents without new memories are left out of a sweep'],
  ] as const) {
    schedules
      .command(verb)
      .argument('<schedule>', 'id of the Schedule, such as reflect-6h')
      .option('--dry-run', 'check only')
      .description(description)
      .action(async (id: string, { dryRun }: { dryRun?: boolean }, command: Command) => {
        const { client, json } = sessionOf(command);
        const answer = await client.post<{ would?: string }>(
          `/schedules/${encodeURIComponent(id)}/${verb}`,
          {},
          { dryRun },
        );
        if (json) printJson(answer);
        else
          line(
            answer.would === undefined
              ? `${good('✔')} ${verb} ${id} ${dim('(soulfra schedules list)')}`
              : `would ${answer.would}`,
          );
      });
  }
}
