import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { WorkflowFailedError } from '@temporalio/client';
import { sql } from 'kysely';
import { askAgent } from '../cli/answers.ts';
import { createClient } from '../cli/client.ts';
import { type Fleet, fleetAgents, fleetSchema } from '../domain/fleet.ts';
import { reflectWorkflowId } from '../domain/ids.ts';
import { personaOf } from '../domain/personas.ts';
import { createRandom } from '../domain/random.ts';
import { coordinationQueue } from '../domain/task-queues.ts';
import { openLab, openLabServers, type Lab } from '../test/support/lab.ts';
import type { Generation } from '../test/support/model-server-streams.ts';
import {
  benchMemories,
  type BenchMachine,
  type BenchModelServer,
  freePorts,
  median,
  pairFleet,
  seededTokens,
  startBenchModelServer,
} from './support/fleet-bench.ts';

/**
 * How long a person waits for the first word while reflections take all there is. 297 agents reflect over and over, so
 * every sequence of both machines is taken and hundreds of runs wait; messages come at Poisson times through the API. Wait:
 * from the POST to the first token at the reader, over the median generation of background work by the same model in the
 * same phase. Beside it the wait of the runs themselves (first in, first out, priority 4) and what talking takes from them.
 */
const { values: args } = parseArgs({
  options: {
    speed: { type: 'string', default: '1' },
    seconds: { type: 'string', default: '120' },
    /** Messages a second, over all agents. */
    rate: { type: 'string', default: '0.8' },
    /** Of each machine; default: the reference pair's 16 and 6. With few of them a message waits for one to become free. */
    sequences: { type: 'string' },
  },
});
const [speed, phaseSeconds, rate] = [Number(args.speed), Number(args.seconds), Number(args.rate)];
const sequences = args.sequences === undefined ? {} : { sequences: Number(args.sequences) };
const seed = 20_262;
const answerTokens = 120;
const persons = 8;
/** A phase is measured once its load has settled. */
const settleSeconds = 15;

interface Wait {
  modelId: string;
  seconds: number;
}
interface Phase {
  waits: Wait[];
  unanswered: number;
  /** Median seconds of a background generation by model. */
  generation: Map<string, number>;
  /** Output tokens a second that reflections got. */
  backgroundTokens: number;
  /** Waits of runs that began in the phase: from their row to their sequence. */
  queued: Wait[];
}

const lab0 = await openLabServers();
const lab = await openLab(lab0.addresses, { logs: `${lab0.folder}/logs`, workerLogLevel: 'warn' });
const stopping = new AbortController();
let background: Promise<void>[] = [];
/** Why an agent no longer reflects: what is measured then is not full load. */
let broken: unknown;
try {
  const [mainPort, pc2Port, apiPort] = await freePorts(3);
  const servers: Record<BenchMachine, BenchModelServer> = {
    mainpc: await startBenchModelServer(lab, 'mainpc', {
      speed,
      models: ['heavy_q4', 'light_q4'],
      port: mainPort!,
      ...sequences,
    }),
    pc2: await startBenchModelServer(lab, 'pc2', { speed, models: ['light_q4'], port: pc2Port!, ...sequences }),
  };
  const fleet = (keepFor: string): Fleet => {
    const pair = pairFleet(
      { mainpc: servers.mainpc.url, pc2: servers.pc2.url },
      {
        heavy: 70,
        light: 227,
        ...sequences,
      },
    );
    return fleetSchema.parse({ ...pair, talk: { keepFor } });
  };
  const agents = fleetAgents(fleet('0s'));
  const modelOf = new Map(agents.map((agent) => [agent.id, agent.model]));
  const random = createRandom(seed);
  const tokensByAgent = Object.fromEntries(
    agents.map((agent) => [personaOf(agent).name, seededTokens(random, agent.expectedTokens)]),
  );
  for (const server of Object.values(servers)) await server.control({ tokensByAgent, plainTokens: answerTokens });

  await lab.apply(fleet('0s'));
  await lab.remember(
    benchMemories(
      agents.map(({ id }) => id),
      0,
    ),
  );
  lab.startWorker('mainpc');
  lab.startWorker('pc2');
  await lab.settled(['mainpc', 'pc2']);
  const { url, token } = await lab.startApi(apiPort!);
  const operator = createClient({ url, token, origin: 'the bench' });
  // Persons, each with a token: one token may read only so many answers at once.
  const clients = await Promise.all(
    Array.from({ length: persons }, async (_, i) => {
      const made = await operator.post<{ token: string }>('/tokens', { role: 'member', name: `person ${i}` });
      return createClient({ url, token: made.token, origin: 'the bench' });
    }),
  );
  let spoken = 0;
  background = agents.map((agent, i) =>
    reflectOverAndOver(lab, agent.id, i).catch((err: unknown) => {
      broken ??= err;
    }),
  );
  await pause(30_000 / Math.min(speed, 3));

  const measure = (talks: boolean) => phase(talks);
  const silent = await measure(false);
  const notKept = await measure(true);
  await lab.apply(fleet('3m'));
  await lab.settled(['mainpc', 'pc2']);
  const kept = await measure(true);
  await lab.apply(fleet('0s'));
  await lab.settled(['mainpc', 'pc2']);
  const silentAgain = await measure(false);
  const alone = (silent.backgroundTokens + silentAgain.backgroundTokens) / 2;

  for (const [name, each] of Object.entries({ silent, notKept, kept, silentAgain }))
    report({ phase: name, ...summary(each) });
  const lost = (each: Phase) => round(1 - each.backgroundTokens / alone);
  report({
    wait_over_one_generation_p95: round(percentile(overGeneration(kept.waits, kept), 95)),
    talks: kept.waits.length,
    unanswered: kept.unanswered + notKept.unanswered,
    wait_s_median: round(median(kept.waits.map(({ seconds }) => seconds))),
    generation_s_median: Object.fromEntries([...kept.generation].map(([model, seconds]) => [model, round(seconds)])),
    without_kept_sequence_p95: round(percentile(overGeneration(notKept.waits, notKept), 95)),
    fifo_at_priority_4_p95: round(percentile(overGeneration(kept.queued, kept), 95)),
    reflections_lost_to_talk: lost(kept),
    reflections_lost_without_kept_sequence: lost(notKept),
    /** What the answers themselves are of all tokens: no queue can give that back. */
    answers_share_of_tokens: round((kept.waits.length / phaseSeconds) * (answerTokens / alone)),
    speed,
  });

  async function phase(talks: boolean): Promise<Phase> {
    await pause(settleSeconds * 1000);
    const before = await backgroundDone(lab);
    const seen = await Promise.all(Object.values(servers).map(async (server) => (await generations(server)).length));
    const since = new Date();
    const startedAt = performance.now();
    const talking: Promise<void>[] = [];
    const waits: Wait[] = [];
    let unanswered = 0;
    const until = startedAt + phaseSeconds * 1000;
    while (performance.now() < until) {
      if (!talks) {
        await pause(until - performance.now());
        break;
      }
      await pause(Math.min(until - performance.now(), (-Math.log(1 - random.next()) / rate) * 1000));
      if (performance.now() >= until) break;
      const agent = agents[Math.floor(random.next() * agents.length)]!;
      talking.push(
        talk(agent.id).then((seconds) => {
          if (seconds === undefined) unanswered += 1;
          else waits.push({ modelId: agent.model, seconds });
        }),
      );
    }
    const took = (performance.now() - startedAt) / 1000;
    const after = await backgroundDone(lab);
    const queued = await lab.db
      .selectFrom('runs')
      .select(['modelId', sql<number>`extract(epoch from started_at - created_at)::float8`.as('seconds')])
      .where('startedAt', '>', since)
      .where('state', 'in', ['running', 'done', 'empty'])
      .execute();
    const written = (await Promise.all(Object.values(servers).map(generations))).flatMap((all, i) =>
      all.slice(seen[i]),
    );
    await Promise.all(talking);
    if (broken !== undefined) throw broken;
    const generation = new Map(
      [...new Set(modelOf.values())].map((modelId) => {
        const own = written.filter(({ model, json }) => json && model === modelId);
        return [modelId, median(own.map(({ seconds }) => seconds))];
      }),
    );
    return { waits, unanswered, generation, backgroundTokens: (after - before) / took, queued };
  }

  /** Seconds from the POST to the first of the answer; undefined where it was not answered. */
  async function talk(agentId: string): Promise<number | undefined> {
    const startedAt = performance.now();
    let first: number | undefined;
    const onText = () => {
      first ??= (performance.now() - startedAt) / 1000;
    };
    const saying = { text: 'What do you remember of the boats at the pier?' };
    const client = clients[(spoken += 1) % persons]!;
    const message = await askAgent(client, agentId, saying, { onText }, AbortSignal.timeout(300_000));
    return message.state === 'answered' ? first : undefined;
  }
} finally {
  stopping.abort();
  await Promise.all(background);
  await lab.close();
  await lab0.close();
}

/** One agent's runs, each begun when the one before has ended: no window of a sweep holds the backlog short. */
async function reflectOverAndOver({ client }: Lab, agentId: string, place: number): Promise<void> {
  for (let run = 0; !stopping.signal.aborted; run += 1) {
    const period = `call-bench-${place}-${run}`;
    const handle = await client.workflow.start('reflectAgent', {
      workflowId: reflectWorkflowId(agentId, period),
      taskQueue: coordinationQueue,
      args: [{ agentId, period, trigger: 'call' }],
      workflowTaskTimeout: '2 seconds',
    });
    try {
      // Ended with its calls: one left waiting would outlive the connection.
      await client.withAbortSignal(stopping.signal, () => handle.result());
    } catch (err) {
      if (stopping.signal.aborted) return;
      if (!(err instanceof WorkflowFailedError)) throw err;
      report({ failed_run: agentId, why: err.cause?.message });
      await pause(1_000);
    }
  }
}

/** Output tokens of all reflections that have ended. */
async function backgroundDone({ db }: Lab): Promise<number> {
  const { rows } = await sql<{ tokens: number }>`select coalesce(sum(tokens), 0)::float8 as tokens from runs`.execute(
    db,
  );
  return rows[0]!.tokens;
}

async function generations({ url }: BenchModelServer): Promise<Generation[]> {
  const response = await fetch(url.replace(/\/v1$/, '/generations'));
  return (await response.json()) as Generation[];
}

function overGeneration(waits: readonly Wait[], { generation }: Phase): number[] {
  return waits.flatMap(({ modelId, seconds }) => {
    const one = generation.get(modelId);
    return one === undefined ? [] : [seconds / one];
  });
}

function summary(each: Phase): Record<string, unknown> {
  const over = overGeneration(each.waits, each);
  const runs = overGeneration(each.queued, each);
  return {
    talks: each.waits.length,
    ...(over.length === 0
      ? {}
      : {
          wait_median: round(median(over)),
          wait_p95: round(percentile(over, 95)),
          wait_worst: round(Math.max(...over)),
        }),
    run_wait_median: round(median(runs)),
    run_wait_p95: round(percentile(runs, 95)),
    background_tokens_per_s: round(each.backgroundTokens),
  };
}

/** Nearest rank. */
function percentile(values: readonly number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] ?? Number.NaN;
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}

function report(line: Record<string, unknown>): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
