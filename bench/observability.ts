import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { alertGroups } from '../observability/alerts/all.ts';
import { alwaysFires, failedAlertTests, neverFires } from '../test/support/alert-tests.ts';
import { programs, ran } from '../test/support/prometheus.ts';
import { lookAtAll } from './support/live-expressions.ts';
import { namedFaults } from './support/named-faults.ts';
import { median } from './support/fleet-bench.ts';
import { openObservedFleet } from './support/observed-fleet.ts';
import { telemetryCost } from './support/telemetry-cost.ts';

/**
 * Whether dashboards and alerts show what there is, whether faults are named, and what it all costs. One part alone:
 * `--part=alerts|expressions|faults|cost`; then the last line has that part's fields only.
 */
const parts = ['alerts', 'expressions', 'faults', 'cost'] as const;
const asked = process.argv.find((arg) => arg.startsWith('--part='))?.slice('--part='.length);
const pairsAsked = Number(process.argv.find((arg) => arg.startsWith('--pairs='))?.slice('--pairs='.length) ?? 5);
if (asked !== undefined && !(parts as readonly string[]).includes(asked))
  throw new TypeError(`--part is one of ${parts.join(', ')}`);
for (const program of Object.keys(programs) as Array<keyof typeof programs>)
  if (asked !== 'cost' && asked !== 'faults' && !ran(program, ['--version']).ok)
    throw new Error(`${programs[program]} is needed: apt-get install prometheus prometheus-alertmanager`);

const result: Record<string, number> = {};
if (asked === undefined || asked === 'expressions') Object.assign(result, await expressions());
if (asked === undefined || asked === 'alerts') Object.assign(result, alerts());
if (asked === undefined || asked === 'faults') Object.assign(result, await faults());
if (asked === undefined || asked === 'cost') Object.assign(result, await cost());
report(result);

async function expressions() {
  const fleet = await openObservedFleet();
  try {
    const looked = lookAtAll(fleet.prometheus.url, 120_000);
    const seen = await Promise.race([looked, fleet.failed.then(() => looked)]);
    for (const { of, expr } of seen.without) report({ without_series: of, expr });
    for (const { of, expr, why } of seen.allowed) report({ allowed: of, expr, why });
    return { expressions: seen.expressions, without_series: seen.without.length };
  } finally {
    await fleet.stop();
  }
}

/** An alert is tested where its test fails once it never fires, the other once it always fires, and none as it is. */
function alerts() {
  const folder = mkdtempSync(join(tmpdir(), 'soulfra-alerts-'));
  try {
    const asIs = failedAlertTests(join(folder, 'as-is'), (alert) => alert).failed;
    const never = new Set(failedAlertTests(join(folder, 'never'), neverFires).failed);
    const always = new Set(failedAlertTests(join(folder, 'always'), alwaysFires).failed);
    const names = alertGroups.flatMap((group) => group.alerts.map(({ name }) => name));
    const untested = names.filter(
      (name) =>
        !never.has(`${name} fires`) ||
        !always.has(`${name} is silent`) ||
        asIs.some((failed) => failed.startsWith(`${name} `)),
    );
    for (const alert of untested) report({ untested: alert });
    return { alerts: names.length, alerts_untested: untested.length };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function faults() {
  const { planted, named, namedWhenSound } = await namedFaults((fault, seen) => report({ fault, named: seen }));
  return { faults_planted: planted, faults_named: named, named_when_sound: namedWhenSound };
}

async function cost() {
  const { ratio, pairs } = await telemetryCost(pairsAsked, ({ on, off }) =>
    report({ cpu_seconds_a_reflection_on: round(on), off: round(off), on_over_off: round(on / off) }),
  );
  report({
    cpu_seconds_on: round(median(pairs.map(({ on }) => on))),
    cpu_seconds_off: round(median(pairs.map(({ off }) => off))),
  });
  return { cpu_on_over_off: round(ratio) };
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}

function report(line: Record<string, unknown>): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
