import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { sql } from 'kysely';
import { spawnWorkflowId } from '../domain/ids.ts';
import { createRandom, type Random } from '../domain/random.ts';
import { coordinationQueue } from '../domain/task-queues.ts';
import { createPrincipalStore } from '../stores/principals.ts';
import { type Lab, labOwner, type LabProcess, openLab, openLabServers, until } from '../test/support/lab.ts';
import { everyAgentId, plainMemories } from '../test/support/memories.ts';
import { freePorts } from './support/fleet-bench.ts';
import { startLabApi, untilItAnswers } from './support/lab-api.ts';
import { type Edit, type Protection, sabotagedSources, wantedProtection } from './support/sabotage.ts';
import { runClient, type WhisperCount } from './support/spawn-clients.ts';
import { spawnFleet } from './support/spawn-fleet.ts';
import { halfPersonas, overCap, startedSpawns } from './support/spawn-judge.ts';

/**
 * Whispers from 8 clients through the real API, while API and workers are killed: no more workflows than the limits of
 * fleet.yaml allow, and no persona that is half there. Judged from rows and from Temporal, by rules of the bench's own.
 */
const clients = 8;
const seed = 20_264;
const full = { whispers: 10_000, kills: 10 };
const short = { whispers: 600, kills: 1 };

/** What each protection is in the sources, and in the database what stands behind it. */
const edits: Partial<Record<Protection, Edit[]>> = {
  // Two admissions that count at the same time.
  cap: [
    {
      file: 'stores/admission.ts',
      from: "await takeLock(tx, 'admission', ownerId);",
      to: '',
    },
  ],
  // Two that come with the same key.
  unique: [
    { file: 'stores/admission.ts', from: 'where not exists (select from known)', to: '' },
    { file: 'stores/admission.ts', from: 'on conflict (owner_id, request_id) do nothing', to: '' },
  ],
  // A request that is sent again.
  idempotency: [
    {
      file: 'api/workflow-starts.ts',
      from: "if (typeof key !== 'string') return v7();",
      to: 'if (key !== null) return v7();',
    },
  ],
};
const constraints: Partial<Record<Protection, string>> = {
  unique: 'alter table whispers drop constraint whispers_owner_id_request_id_key',
};
const leansOn = Object.keys(edits) as Protection[];

const { values: args } = parseArgs({
  options: { sabotage: { type: 'string' }, whispers: { type: 'string' }, kills: { type: 'string' } },
});
const wanted = wantedProtection(args.sabotage, leansOn);

interface Verdict {
  whispers: number;
  started: number;
  cap: number;
  overCap: number;
  halves: string[];
  /** Requests answered with two whispers, and rows beyond one a request. */
  twice: number;
  kills: number;
  seconds: number;
  refusals: Record<string, number>;
}

if (wanted === undefined) {
  const size = {
    whispers: args.whispers === undefined ? full.whispers : Number(args.whispers),
    kills: args.kills === undefined ? full.kills : Number(args.kills),
  };
  const verdict = await round(size, undefined);
  progress('whole', verdict);
  const caught: Record<string, boolean> = {};
  for (const protection of leansOn) {
    const without = await sabotaged(protection);
    progress(`without ${protection}`, without);
    caught[protection] = isCaught(without);
  }
  report({
    whispers: verdict.whispers,
    workflows_started: verdict.started,
    cap: verdict.cap,
    over_cap: verdict.overCap,
    half_personas: verdict.halves.length,
    kills: verdict.kills,
    sabotage_caught: Object.values(caught).every(Boolean),
    sabotages: caught,
    twice: verdict.twice,
    seconds: verdict.seconds,
    refusals: verdict.refusals,
  });
  process.exitCode =
    verdict.overCap + verdict.halves.length + verdict.twice === 0 && Object.values(caught).every(Boolean) ? 0 : 1;
} else {
  const { overCap: over, halves, twice, started, cap } = await sabotaged(wanted);
  const caught = over + halves.length + twice > 0;
  report({
    sabotage: wanted,
    workflows_started: started,
    cap,
    over_cap: over,
    half_personas: halves.length,
    twice,
    sabotage_caught: caught,
  });
  process.exitCode = caught ? 0 : 1;
}

function progress(name: string, { halves, ...verdict }: Verdict): void {
  process.stderr.write(`${name}: ${JSON.stringify({ ...verdict, halves: halves.length })}\n`);
  for (const half of halves.slice(0, 20)) process.stderr.write(`  ${half}\n`);
}

function isCaught({ overCap: over, halves, twice }: Verdict): boolean {
  return over + halves.length + twice > 0;
}

async function sabotaged(protection: Protection): Promise<Verdict> {
  const copy = sabotagedSources(protection, edits[protection]!);
  try {
    return await round(short, { folder: copy.folder, weaken: constraints[protection] });
  } finally {
    copy.remove();
  }
}

async function round(
  size: { whispers: number; kills: number },
  sabotage: { folder: string; weaken: string | undefined } | undefined,
): Promise<Verdict> {
  const base = await openLabServers();
  const logs = mkdtempSync(join(tmpdir(), 'soulfra-spawn-'));
  const sources = sabotage === undefined ? {} : { sources: sabotage.folder };
  const lab = await openLab(base.addresses, { logs, workerLogLevel: 'warn', ...sources });
  try {
    if (sabotage?.weaken !== undefined) await sql.raw(sabotage.weaken).execute(lab.db);
    return await attack(lab, size, sabotage?.folder);
  } finally {
    await lab.close();
    await base.close();
    rmSync(logs, { recursive: true, force: true });
  }
}

async function attack(
  lab: Lab,
  size: { whispers: number; kills: number },
  folder: string | undefined,
): Promise<Verdict> {
  const { db, client } = lab;
  const random = createRandom(seed);
  const fleet = spawnFleet();
  await lab.apply(fleet);
  await lab.remember(plainMemories(await everyAgentId(db), 10));
  const [port = 0] = await freePorts(1);
  const start: Record<string, () => LabProcess> = {
    api: () => startLabApi(lab, port, folder),
    mainpc: () => lab.startWorker('mainpc'),
    pc2: () => lab.startWorker('pc2'),
  };
  const processes = Object.fromEntries(Object.entries(start).map(([name, begin]) => [name, begin()]));
  await lab.settled(['mainpc', 'pc2']);
  const url = `http://127.0.0.1:${port}`;
  await untilItAnswers(url);
  const { secret: token } = await createPrincipalStore(db).issue({
    ownerId: labOwner,
    kind: 'bearer',
    role: 'member',
    name: 'bench',
  });

  let parents = await everyAgentId(db);
  let answered = 0;
  const startedAt = performance.now();
  const running = Array.from({ length: clients }, (_, i) =>
    runClient({
      url,
      token,
      name: `client-${i}`,
      whispers: Math.floor(size.whispers / clients) + (i < size.whispers % clients ? 1 : 0),
      random: createRandom(seed + i),
      parents: () => parents,
      lenient: folder !== undefined,
      onAnswer: () => (answered += 1),
    }),
  );
  const done = new AbortController();
  const attacker = strike({ size, answered: () => answered, processes, start, random, ended: done.signal });
  const looker = look(async () => {
    parents = await everyAgentId(db);
  }, done.signal);
  let counts: WhisperCount[];
  let kills: number;
  try {
    counts = await Promise.all(running);
    kills = await attacker;
  } finally {
    done.abort();
    await Promise.allSettled([attacker, looker]);
  }
  const seconds = (performance.now() - startedAt) / 1000;

  await settle(lab);
  await workAgain(lab, random);
  await settle(lab);
  await lab.settled(['mainpc', 'pc2'], 120_000);
  const started = await startedSpawns(client);
  const { rows } = await sql<{ rows: number; keys: number; admitted: number }>`
    select count(*) as rows, count(distinct request_id) as keys, count(*) filter (where admitted_at is not null) as admitted
    from whispers`.execute(db);
  const { rows: whole, keys, admitted } = rows[0]!;
  const over = await overCap(db, fleet.spawning);
  const cap = Math.floor(fleet.spawning.fleet.burst + (seconds * fleet.spawning.fleet.perHour) / 3600);
  const own = [...started].filter((id) => !id.endsWith(':again'));
  const halves = await halfPersonas(db);
  // Each admitted whisper has its workflow, and no other workflow is there.
  if (own.length !== admitted) halves.push(`${admitted} whispers were admitted and ${own.length} workflows started`);
  return {
    whispers: keys,
    started: own.length,
    cap,
    overCap: over + Math.max(0, own.length - cap),
    halves,
    twice: counts.reduce((sum, count) => sum + count.twice, 0) + (whole - keys),
    kills,
    seconds: Math.round(seconds),
    refusals: await refusalsOf(lab),
  };
}

/** SIGKILL to API and workers in turn, at random moments of the whole run; each is started again at once. */
async function strike(run: {
  size: { whispers: number; kills: number };
  answered: () => number;
  processes: Record<string, LabProcess>;
  start: Record<string, () => LabProcess>;
  random: Random;
  ended: AbortSignal;
}): Promise<number> {
  const { size, processes, start, random } = run;
  const names = Object.keys(start);
  const due = Array.from({ length: size.kills }, (_, i) => ((i + random.next()) * size.whispers * 0.95) / size.kills);
  for (const [i, at] of due.entries()) {
    while (run.answered() < at && !run.ended.aborted) await pause(10);
    await pause(random.int(400));
    const name = names[i % names.length]!;
    await processes[name]!.end('SIGKILL');
    processes[name] = start[name]!();
  }
  return size.kills;
}

async function look(work: () => Promise<void>, ended: AbortSignal): Promise<void> {
  while (!ended.aborted) {
    await work();
    await pause(1_000);
  }
}

/** Until no whisper is open and no start is owed. */
async function settle({ db }: Lab): Promise<void> {
  await until(
    'every whisper has ended',
    async () => {
      const { rows } = await sql<{ open: number }>`
        select (select count(*) from whispers where ended_at is null)
          + (select count(*) from intents where type = 'spawnPersona') as open`.execute(db);
      return rows[0]!.open === 0;
    },
    240_000,
  );
}

/** Some that have ended are worked on once more, as after Temporal has forgotten their ids. */
async function workAgain({ db, client }: Lab, random: Random): Promise<void> {
  const rows = await db.selectFrom('whispers').select('id').where('state', '=', 'spawned').orderBy('id').execute();
  const again = random.shuffle(rows).slice(0, 10);
  await Promise.all(
    again.map(({ id }) =>
      client.workflow.execute('spawnPersona', {
        workflowId: `${spawnWorkflowId(id)}:again`,
        taskQueue: coordinationQueue,
        args: [{ whisperId: id }],
      }),
    ),
  );
}

async function refusalsOf({ db }: Lab): Promise<Record<string, number>> {
  const { rows } = await sql<{ code: string; count: number }>`
    select reason_code as code, count(*) as count from whispers where reason_code <> '' group by 1 order by 1`.execute(
    db,
  );
  return Object.fromEntries(rows.map(({ code, count }) => [code, count]));
}

function report(line: Record<string, unknown>): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
