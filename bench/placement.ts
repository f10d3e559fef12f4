import { planPlacement } from '../domain/placement.ts';
import type { PlacementInput } from '../domain/placement-input.ts';
import { createRandom } from '../domain/random.ts';
import { firstFit } from './support/placement-first-fit.ts';
import { between, randomInput } from './support/placement-fleets.ts';
import { loadSolver, solveOptimum } from './support/placement-optimum.ts';
import { breachesOf, countedOf, worthOfCounted } from './support/placement-score.ts';

/**
 * How far plans are from the proven optimum over random fleets, beside what first-fit would do; and how long a large fleet takes.
 * `npm run bench -- placement [fleets] [seed]`.
 */
const fleets = 200;
const seed = 20_261_121;
/** A solve that is not proven by then counts against the planner with the solver's upper bound. */
const solveSeconds = 60;

export async function run(argv: string[]): Promise<Record<string, unknown>> {
  const highs = await loadSolver();
  const count = Number(argv[0] ?? fleets);
  const random = createRandom(Number(argv[1] ?? seed));
  const gaps: number[] = [];
  const firstFitGaps: number[] = [];
  const milliseconds: number[] = [];
  let overVram = 0;
  let unproven = 0;
  for (let i = 0; i < count; i += 1) {
    const input = randomInput(random, {
      gpus: 2 + random.int(7),
      models: 3 + random.int(6),
      load: between(random, 0.8, 1.5),
      agents: 120,
    });
    const from = performance.now();
    const plan = planPlacement(input);
    milliseconds.push(performance.now() - from);
    const breaches = breachesOf(input, plan);
    overVram += breaches.length;
    const optimum = solveOptimum(highs, input, solveSeconds);
    if (!optimum.proven) unproven += 1;
    const gap = 1 - worthOfCounted(input, countedOf(plan)) / optimum.bound;
    gaps.push(gap);
    firstFitGaps.push(1 - worthOfCounted(input, firstFit(input)) / optimum.bound);
    for (const breach of breaches) say(`fleet ${i}: over its limit: ${breach}`);
    if (gap > 0.005) say(`fleet ${i}: ${inPercent(gap)} below the optimum`);
    if ((i + 1) % 20 === 0) say(`${i + 1}/${count} fleets, worst gap so far ${inPercent(Math.max(...gaps))}`);
  }
  const best = gaps.filter((gap) => gap < 1e-5).length;
  say(
    `${best} of ${count} plans are the optimum; ${unproven} optima not proven within ${solveSeconds} s (upper bound taken)`,
  );
  say(`planned in ${at(milliseconds, 0.5).toFixed(0)} ms (median), ${at(milliseconds, 1).toFixed(0)} ms at most`);
  const large = planLarge();
  return {
    gap_median: rounded(at(gaps, 0.5)),
    gap_worst: rounded(at(gaps, 1)),
    gap_first_fit_median: rounded(at(firstFitGaps, 0.5)),
    over_vram: overVram + large.breaches,
    seconds_100k: large.seconds,
  };
}

/** 100,000 agents on 1,000 machines: planned from nothing, then again after a lost machine; the slower one counts. */
function planLarge(): { seconds: number; breaches: number } {
  const input = randomInput(createRandom(seed), { machines: 1000, models: 20, load: 1.1, agents: 100_000 });
  const first = timed(input);
  const lost = { ...input, machines: input.machines.slice(1), previous: first.plan };
  const second = timed(lost);
  say(
    `${input.agents.length} agents on ${input.machines.length} machines: ${first.seconds.toFixed(2)} s, after a loss ${second.seconds.toFixed(2)} s`,
  );
  return {
    seconds: rounded(Math.max(first.seconds, second.seconds)),
    breaches: breachesOf(input, first.plan).length + breachesOf(lost, second.plan).length,
  };
}

function timed(input: PlacementInput) {
  const from = performance.now();
  const plan = planPlacement(input);
  return { plan, seconds: (performance.now() - from) / 1000 };
}

function at(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = share * (sorted.length - 1);
  return (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle)]!) / 2;
}

/** Below a millionth is rounding of the solver. */
function rounded(value: number): number {
  return Math.max(0, Math.round(value * 1e6) / 1e6);
}

function inPercent(share: number): string {
  return `${(share * 100).toFixed(2)} %`;
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

if (process.argv[1] === import.meta.filename)
  process.stdout.write(`${JSON.stringify(await run(process.argv.slice(2)))}\n`);
