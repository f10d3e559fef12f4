import { performance } from 'node:perf_hooks';
import { sql } from 'kysely';
import { fleetAgents } from '../domain/fleet.ts';
import { personaOf } from '../domain/personas.ts';
import { createRandom } from '../domain/random.ts';
import { reflectionMaxTokens } from '../domain/reflections.ts';
import { createModelReflector, createTextModel } from '../integrations/inference/model-reflector.ts';
import { createMemoryStore } from '../stores/memories.ts';
import { labOwner, openLab, openLabServers, type Lab } from '../test/support/lab.ts';
import {
  benchMemories,
  type BenchMachine,
  type BenchModelServer,
  capacity,
  cards,
  freePorts,
  median,
  pairFleet,
  seededTokens,
  startBenchModelServer,
} from './support/fleet-bench.ts';

/**
 * One cycle of 297 agents by the shipped sweep and workers, against the bound of the two cards and against a plain
 * in-process loop, first in first out, on the same servers. Alternating rounds, ratios only.
 */
const speed = 2;
const runs = Number(process.argv.find((arg) => arg.startsWith('--runs='))?.slice('--runs='.length) ?? 5);
const seed = 20_260;
const heavy = 70;
const light = 227;

interface Job {
  agentId: string;
  modelId: 'heavy_q4' | 'light_q4';
  tokens: number;
}

const lab0 = await openLabServers();
const lab = await openLab(lab0.addresses, { logs: `${lab0.folder}/logs`, workerLogLevel: 'warn' });
try {
  const [mainPort, pc2Port] = await freePorts(2);
  const servers: Record<BenchMachine, BenchModelServer> = {
    mainpc: await startBenchModelServer(lab, 'mainpc', { speed, models: ['heavy_q4', 'light_q4'], port: mainPort! }),
    pc2: await startBenchModelServer(lab, 'pc2', { speed, models: ['light_q4'], port: pc2Port! }),
  };
  const fleet = pairFleet({ mainpc: servers.mainpc.url, pc2: servers.pc2.url }, { heavy, light });
  const random = createRandom(seed);
  const agents = fleetAgents(fleet);
  const jobs: Job[] = random.shuffle(
    agents.map((agent) => ({
      agentId: agent.id,
      modelId: agent.model as Job['modelId'],
      tokens: seededTokens(random, agent.expectedTokens),
    })),
  );
  const names = new Map(agents.map((agent) => [agent.id, personaOf(agent).name]));
  const tokensByAgent = Object.fromEntries(jobs.map((job) => [names.get(job.agentId)!, job.tokens]));
  await Promise.all(Object.values(servers).map((server) => server.control({ tokensByAgent })));

  await lab.apply(fleet);
  await lab.remember(
    benchMemories(
      agents.map((agent) => agent.id),
      0,
    ),
  );
  lab.startWorker('mainpc');
  lab.startWorker('pc2');
  await lab.settled(['mainpc', 'pc2']);

  const total = jobs.reduce((sum, job) => sum + job.tokens, 0);
  const heavyTotal = jobs.filter((job) => job.modelId === 'heavy_q4').reduce((sum, job) => sum + job.tokens, 0);
  const bound = Math.max(
    heavyTotal / capacity('mainpc', speed),
    total / (capacity('mainpc', speed) + capacity('pc2', speed)),
  );
  report({
    agents: jobs.length,
    tokens: total,
    bound_s: round(bound),
    bound_heavy_s: round(heavyTotal / capacity('mainpc', speed)),
  });

  const product: number[] = [];
  const loop: number[] = [];
  const guessed: number[] = [];
  for (let run = 0; run < runs; run += 1) {
    // The order changes sides every other round, so that neither always runs on the warmer machine.
    const rounds = [
      async () => void product.push(await byProduct(`exact-${run}`, 0)),
      async () => void loop.push(await byLoop()),
    ];
    if (run % 2 === 1) rounds.reverse();
    for (const each of rounds) await each();
    report({ run, product_over_bound: round(product.at(-1)! / bound), loop_over_bound: round(loop.at(-1)! / bound) });
  }
  for (let run = 0; run < Math.min(2, runs); run += 1) {
    guessed.push(await byProduct(`guessed-${run}`, 0.2));
    report({ run, guessed_over_bound: round(guessed.at(-1)! / bound) });
  }
  report({
    makespan_over_bound_median: round(median(product) / bound),
    over_in_process: round(median(product) / median(loop)),
    runs,
    bound_s: round(bound),
    in_process_over_bound_median: round(median(loop) / bound),
    with_20_percent_error_over_bound: round(median(guessed) / bound),
    agents: jobs.length,
  });

  async function byProduct(id: string, error: number): Promise<number> {
    await plantPast(lab, jobs, error);
    const before = performance.now();
    const handle = await lab.sweep(id);
    await handle.result();
    const seconds = (performance.now() - before) / 1000;
    await checkAllDone(lab, id);
    return seconds;
  }

  /** The same work as one process would do it: the given order, no durability; every slot takes the first job it can serve. */
  async function byLoop(): Promise<number> {
    const memories = createMemoryStore(lab.db);
    const waiting = [...jobs];
    const before = performance.now();
    const slots = (Object.keys(cards) as BenchMachine[]).flatMap((machineId) => {
      const options = { kind: 'openai' as const, baseUrl: servers[machineId].url, stallMs: 5_000, callMs: 600_000 };
      const reflector = createModelReflector(createTextModel(options));
      return Array.from({ length: cards[machineId].sequences }, async () => {
        for (;;) {
          const at = waiting.findIndex((job) => machineId === 'mainpc' || job.modelId === 'light_q4');
          if (at < 0) return;
          const [job] = waiting.splice(at, 1);
          const agent = agents.find((other) => other.id === job!.agentId)!;
          const due = await memories.between(agent.id, 0, 1_000);
          const outcome = await reflector.reflect(
            {
              agent: personaOf(agent),
              memories: due,
              model: job!.modelId,
              contextTokens: 8192,
              maxTokens: reflectionMaxTokens(8192),
            },
            { signal: AbortSignal.timeout(600_000), onProgress: () => undefined },
          );
          await sql`insert into bench_loop (agent_id, outcome) values (${agent.id}, ${JSON.stringify(outcome)}::jsonb)`.execute(
            lab.db,
          );
        }
      });
    });
    await Promise.all(slots);
    return (performance.now() - before) / 1000;
  }
} finally {
  await lab.close();
  await lab0.close();
}

/** The sweep knows counts only as what past runs took: the true ones, or those with an error of up to ±`error`. */
async function plantPast(lab: Lab, jobs: readonly Job[], error: number): Promise<void> {
  const random = createRandom(seed + 1);
  await sql`create table if not exists bench_loop (agent_id text, outcome jsonb)`.execute(lab.db);
  await sql`delete from runs where period like 'past-%'`.execute(lab.db);
  const rows = jobs.flatMap((job) => {
    // One error for all past runs of an agent: five of its own would cancel out in their median.
    const tokens = Math.max(1, Math.round(job.tokens * (1 + error * (2 * random.next() - 1))));
    return Array.from({ length: 5 }, (_, i) => ({ ...job, i, tokens }));
  });
  await sql`
    insert into runs (id, owner_id, agent_id, workflow_id, trigger, period, state, wanted_model_id, model_id, queue, expected_tokens, tokens, ended_at)
    select 'run_past_' || a || '_' || i, ${labOwner}, a, 'past:' || a || ':' || i, 'call', 'past-' || i, 'done', m, m, '', 1, t, now()
    from unnest(${rows.map((r) => r.agentId)}::text[], ${rows.map((r) => r.i)}::int[], ${rows.map((r) => r.modelId)}::text[], ${rows.map((r) => r.tokens)}::int[]) as p (a, i, m, t)`.execute(
    lab.db,
  );
  await sql`
    update agents set expected_tokens = past.tokens
    from (select agent_id, percentile_cont(0.5) within group (order by tokens)::int as tokens from runs where period like 'past-%' group by agent_id) past
    where past.agent_id = agents.id`.execute(lab.db);
}

async function checkAllDone(lab: Lab, id: string): Promise<void> {
  const { rows } = await sql<{ done: number; others: number }>`
    select count(*) filter (where state = 'done' and not degraded) as done, count(*) filter (where state <> 'done' or degraded) as others
    from runs where period = ${`call-${id}`}`.execute(lab.db);
  const counted = rows[0]!;
  if (counted.done !== heavy + light || counted.others !== 0)
    throw new Error(`round ${id}: ${JSON.stringify(counted)} instead of ${heavy + light} done`);
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}

function report(line: Record<string, unknown>): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
