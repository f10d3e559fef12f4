import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseDocument } from 'yaml';
import { DomainError } from '../../domain/errors.ts';
import { parseFleet } from '../../config/fleet-file.ts';
import { readServiceSources } from '../../config/service-files.ts';
import { yamlErrorLines } from '../../config/yaml-file.ts';
import { fleetAgents } from '../../domain/fleet.ts';
import type { ServiceFile } from '../../domain/services.ts';
import type { ApiClient } from './api-client.ts';
import { type Home, readJson, writeJson } from './home.ts';
import type { Screen } from './screen.ts';

/** The same world on every host; only its end is the day of the first start. */
const worldSeed = 297;
const worldDays = 30;
const machinesReadyWithinMs = 120_000;

interface ListedAgent {
  id: string;
  name: string;
  archetype: string;
}

/** How far the first start came, so that one that was cut off goes on where it was. */
export interface Birth {
  step: 'applied' | 'seeded' | 'done';
  empty: boolean;
  /** End of the world's 30 days. */
  endsAt: string;
  /** Names the first cycle: asked for again, it is the same one. */
  cycleKey: string;
}

function birthFile(home: Home): string {
  return home.path('birth.json');
}

export function recordBirth(home: Home, birth: Birth, step: Birth['step']): void {
  writeJson(birthFile(home), { ...birth, step });
}

/**
 * Applies fleet.yaml where no fleet lives yet; a later difference is only pointed out, since from then on `soulfra apply` decides.
 * @returns what is still to do of the first start; undefined: all was done before
 */
export async function bearFleet(
  api: ApiClient,
  screen: Screen,
  home: Home,
  options: { file: string; empty: boolean },
): Promise<Birth | undefined> {
  const versions = await api.get<{ items: unknown[] }>('/fleet/versions?limit=1');
  if (versions.items.length > 0) {
    const birth = readJson<Birth>(birthFile(home));
    if (options.empty && birth?.empty !== true) {
      screen.line(
        '  --empty counts at the first start only; for an empty fleet in place of this one: npm start -- --reset --empty',
      );
    }
    if (existsSync(options.file) && birth?.empty !== true) await pointOutDifference(api, screen, options.file);
    return birth === undefined || birth.step === 'done' || birth.empty ? undefined : birth;
  }
  if (!existsSync(options.file))
    throw new DomainError('CONFIG_INVALID', `${options.file} is not there; name the fleet's file with --fleet FILE`);
  const source = readFileSync(options.file, 'utf8');
  const step = screen.step('Fleet');
  step.progress(`applying ${options.file}`);
  const birth: Birth = {
    step: 'applied',
    empty: options.empty,
    endsAt: new Date().toISOString(),
    cycleKey: `first-cycle-${randomUUID()}`,
  };
  // Before the apply: a kill between the two must not leave a fleet whose world never comes.
  recordBirth(home, birth, 'applied');
  try {
    await api.post('/fleet/apply', {
      source: options.empty ? withoutAgents(source) : source,
      ...serviceFilesOf(options.file),
    });
  } catch (err) {
    step.fail(`${options.file} was not applied`);
    throw err;
  }
  step.done(`${options.file} applied${options.empty ? ' without its agents' : ''}`);
  return options.empty ? undefined : birth;
}

/** fleet.d beside the file, where there is one. */
function serviceFilesOf(file: string): { serviceFiles?: ServiceFile[] } {
  const read = readServiceSources(file);
  if (read.errors.length > 0) {
    throw new DomainError('CONFIG_INVALID', yamlErrorLines(read.errors).join('\n'), { fields: read.errors });
  }
  return read.folder ? { serviceFiles: read.files } : {};
}

function withoutAgents(source: string): string {
  const document = parseDocument(source);
  document.set('archetypes', []);
  document.delete('agents');
  return document.toString();
}

async function pointOutDifference(api: ApiClient, screen: Screen, file: string): Promise<void> {
  const planned = await Promise.resolve()
    .then(() => ({ source: readFileSync(file, 'utf8'), ...serviceFilesOf(file) }))
    .then((files) => api.post<{ changes: unknown[] }>('/fleet/apply?dryRun=true', files))
    .catch((err: unknown) => {
      screen.line(
        `  ${file} does not apply as it is (${err instanceof Error ? err.message : String(err)}); the living fleet goes on`,
      );
      return { changes: [] };
    });
  if (planned.changes.length === 0) return;
  screen.line(
    `  ${file} differs from the living fleet in ${planned.changes.length} places: soulfra apply --dry-run shows them`,
  );
}

/** Gives each new agent its first 30 days; memories that came before, in a start that was cut off, are known by their keys. */
export async function seedWorld(
  api: ApiClient,
  screen: Screen,
  options: { file: string; endsAt: string },
): Promise<void> {
  const agents = await api.all<ListedAgent>('/agents');
  const step = screen.step('World');
  // Only a first start needs the world's texts.
  const { worldMemories } = await import('../../domain/world.ts');
  const parsed = parseFleet(readFileSync(options.file, 'utf8'), options.file);
  if ('errors' in parsed)
    throw new DomainError('CONFIG_INVALID', `${options.file} does not follow its schema any more`);
  const traits = new Map(fleetAgents(parsed.fleet).map((agent) => [agent.id, agent.traits]));
  const seeds = agents.map(({ id, name, archetype }) => ({
    id,
    name,
    archetypeId: archetype,
    traits: [...(traits.get(id) ?? [])],
  }));
  let sent = 0;
  const told = function* () {
    for (const memory of worldMemories(seeds, { seed: worldSeed, endsAt: options.endsAt, days: worldDays })) {
      sent += 1;
      if (sent % 200 === 0) step.progress(`${sent} memories`);
      yield memory;
    }
  };
  const { added, known, refused } = await api.postLines<{ added: number; known: number; refused: number }>(
    '/memories',
    told(),
  );
  if (refused > 0) throw new DomainError('INTERNAL', `${refused} of the world's ${sent} memories were refused`);
  step.done(`${added + known} memories over ${worldDays} days for ${agents.length} agents`);
}

/**
 * Waits until each of the machines lives and the plan is at work on them.
 * @param failed whether the machine's worker has died too often to be started again: nobody waits for it
 */
export async function machinesReady(
  api: ApiClient,
  screen: Screen,
  machineIds: readonly string[],
  failed: (machineId: string) => boolean,
): Promise<void> {
  const step = screen.step('Machines');
  const deadline = Date.now() + machinesReadyWithinMs;
  for (;;) {
    const machines = await api.all<{ id: string; state: string; alive: boolean }>('/machines');
    // A drained machine has its worker and stays out of service until it is undrained.
    const settled = ['ready', 'draining', 'drained'];
    const waiting = machines.filter(
      (machine) =>
        machineIds.includes(machine.id) && !failed(machine.id) && !(machine.alive && settled.includes(machine.state)),
    );
    const plan = await api.get<{ state: string }>('/fleet/plan').catch(() => ({ state: 'not made yet' }));
    if (waiting.length === 0 && plan.state === 'applied') {
      step.done(`${machineIds.filter((id) => !failed(id)).join(', ')} ready, plan applied`);
      return;
    }
    // A machine that never came counts as lost; here its worker is on its way.
    const why =
      waiting.length > 0
        ? waiting.map(({ id, state }) => `${id} ${state === 'lost' ? 'starting' : state}`).join(', ')
        : `plan ${plan.state}`;
    if (Date.now() > deadline) {
      step.fail(why);
      throw new DomainError(
        'UNAVAILABLE',
        `the machines are not ready after ${machinesReadyWithinMs / 1000} s: ${why}; see .soulfra/logs/worker-*.log`,
      );
    }
    step.progress(why, (machineIds.length - waiting.length) / machineIds.length);
    await sleep(500);
  }
}
