import { parseArgs } from 'node:util';
import { createRandom } from '../domain/random.ts';
import {
  askThroughApiKills,
  askThroughKills,
  askWithoutGateway,
  type GatewayVerdict,
} from './support/adopt-gateway.ts';
import { tryHostile } from './support/adopt-hostile.ts';
import { importTwice } from './support/adopt-import.ts';
import { assessThroughFleet, searchedForPorts, withNas } from './support/adopt-readiness.ts';
import { type RolloutVerdict, rollOutThroughKills } from './support/adopt-rollout.ts';
import { adoptSabotages } from './support/adopt-sabotage.ts';
import { type AdoptStage, openAdoptStage } from './support/adopt-stage.ts';
import { type Protection, sabotagedSources, wantedProtection } from './support/sabotage.ts';

/**
 * A made-up repository of two machines is adopted: imported twice, given to the fleet's models through the gateway while model servers
 * and its API are killed, rolled out and back while workers are killed, assessed for sixty planted faults, and made hostile. Judged by what the
 * fixture knows and by what commands, commits and answers have left; at the end the same without what the figures lean on.
 */
const full = { requests: 150, modelKills: 4, apiKills: 3, kills: { forward: 6, back: 4 } };
const short = { requests: 60, modelKills: 2, apiKills: 1, kills: { forward: 2, back: 1 } };
const sabotaged = { requests: 40, modelKills: 2, kills: { forward: 2, back: 0 } };
const seed = 20_268;

const leansOn = Object.keys(adoptSabotages) as Protection[];
const { values: args } = parseArgs({
  options: {
    sabotage: { type: 'string' },
    /** Fewer kills, and no sabotage. */
    short: { type: 'boolean' },
  },
});
const wanted = wantedProtection(args.sabotage, leansOn);
const startedAt = performance.now();

const stage = await openAdoptStage();
try {
  process.exitCode = (await (wanted === undefined ? whole(stage) : without(stage, [wanted]))) ? 0 : 1;
} finally {
  await stage.close();
}

async function whole(stage: AdoptStage): Promise<boolean> {
  const size = args.short === true ? short : full;
  const random = createRandom(seed);
  const { verdict: imported, services } = await importTwice(stage.folder);
  progress('import', imported);
  // One that the fleet can do without: nothing starts it here.
  const token = await stage.serviceToken(services.find(({ id }) => id === 'memory-indexer')!);
  const gateway = progress(
    'gateway',
    await askThroughKills(stage, token, { requests: size.requests, kills: size.modelKills, random }),
  );
  const direct = progress('without the gateway', await askWithoutGateway(stage));
  const api = progress(
    'gateway without its API',
    await askThroughApiKills(stage, token, { requests: 80, kills: size.apiKills, random }),
  );
  const hostile = progress('hostile', await tryHostile(stage, token));
  const rollout = progress(
    'rollout',
    await rollOutThroughKills(stage, { packages: 'dozen', kills: size.kills, aimed: 0.7, commandSeconds: 0.8 }, random),
  );
  await stage.units?.stop();
  const caught = args.short === true ? {} : await sabotagedRound(stage, token, leansOn);
  await stage.lab.apply(withNas(stage.fleet));
  const readiness = progress('readiness', await assessThroughFleet(stage));
  const search = searchedForPorts(stage.monorepo);
  const kills = size.kills.forward + size.kills.back;
  report({
    services: imported.services,
    planted: readiness.planted,
    named: readiness.named,
    false_findings: readiness.falseFindings.length,
    reimport_changes: imported.reimportChanges,
    kills: rollout.kills,
    steps_twice: rollout.twice,
    rollback_equal: rollout.differs.length === 0,
    gateway_lost: gateway.lost,
    services_missing: imported.missing.length,
    services_invented: imported.invented.length,
    work_packages: imported.workPackages,
    edits_kept: imported.editsKept,
    reassess_changes: readiness.changesAgain,
    unknown: readiness.unknown,
    of_this_box: readiness.ofThisBox,
    plain_search: { clashes_named: search.named, false_findings: search.false },
    steps: rollout.steps,
    steps_lost: rollout.lost,
    deploys: rollout.deploys,
    starts_beyond: rollout.startsBeyond,
    gateway_requests: gateway.requests,
    gateway_cut: gateway.cut,
    gateway_untold: gateway.untold + gateway.open,
    gateway_kills: gateway.kills,
    gateway_api: api,
    lost_without_gateway: `${direct.lost} of ${direct.requests}`,
    hostile: hostile.tried,
    hostile_taken: hostile.taken.length,
    hostile_run: hostile.run.length,
    ...(args.short === true ? {} : { sabotage_caught: Object.values(caught).every(Boolean), sabotages: caught }),
    seconds: Math.round((performance.now() - startedAt) / 1000),
  });
  return (
    imported.services >= 80 &&
    imported.missing.length + imported.invented.length + imported.reimportChanges === 0 &&
    imported.editsKept === 6 &&
    readiness.planted === 60 &&
    readiness.missed.length + readiness.falseFindings.length + readiness.changesAgain === 0 &&
    readiness.exitCode === 2 &&
    rollout.kills === kills &&
    rollout.twice + rollout.lost + rollout.differs.length === 0 &&
    isSound(gateway) &&
    gateway.lost === 0 &&
    api.lost + api.orphans === 0 &&
    api.kills === size.apiKills &&
    (stage.units === undefined || rollout.deploys > 0) &&
    direct.lost > 0 &&
    hostile.taken.length + hostile.run.length === 0 &&
    Object.values(caught).every(Boolean)
  );
}

function isSound({ requests, answered, cut, untold, open, lost }: GatewayVerdict): boolean {
  return answered + cut + lost === requests && untold === 0 && open === 0;
}

async function without(stage: AdoptStage, protections: readonly Protection[]): Promise<boolean> {
  const token = await stage.serviceToken({ id: 'memory-indexer', kind: 'process', source: 'by hand', required: false });
  const caught = await sabotagedRound(stage, token, protections);
  report({ sabotage: protections.join(' '), sabotage_caught: Object.values(caught).every(Boolean) });
  return Object.values(caught).every(Boolean);
}

/**
 * Workers whose sources lack these protections, each of which keeps another figure: that one must not stay at zero, nor the
 * rollback at equal.
 */
async function sabotagedRound(
  stage: AdoptStage,
  token: string,
  protections: readonly Protection[],
): Promise<Partial<Record<Protection, boolean>>> {
  const copy = sabotagedSources(
    'adopt',
    protections.flatMap((protection) => adoptSabotages[protection]!),
  );
  try {
    const from = await stage.restartFrom(copy.folder);
    const random = createRandom(seed + 1);
    const caught: Partial<Record<Protection, boolean>> = {};
    if (protections.includes('retry')) {
      const { requests, modelKills: kills } = sabotaged;
      const { lost } = progress('without retry', await askThroughKills(stage, token, { requests, kills, random }));
      caught.retry = lost > 0;
    }
    if (protections.some((protection) => protection !== 'retry')) {
      const rollout: RolloutVerdict = progress(
        'without idempotency or compensation',
        await rollOutThroughKills(
          stage,
          // Long enough that a kill meets the command itself.
          { packages: 'few', kills: sabotaged.kills, aimed: 1, commandSeconds: 4, from },
          random,
        ),
      );
      if (protections.includes('idempotency')) caught.idempotency = rollout.twice > 0;
      if (protections.includes('compensation')) caught.compensation = rollout.differs.includes('refs');
    }
    return caught;
  } finally {
    await stage.restartFrom(undefined);
    copy.remove();
  }
}

function progress<Verdict>(name: string, verdict: Verdict): Verdict {
  const seconds = Math.round((performance.now() - startedAt) / 1000);
  process.stderr.write(`${name}, at ${seconds} s: ${JSON.stringify(verdict)}\n`);
  return verdict;
}

function report(line: Record<string, unknown>): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
