import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, onTestFinished, test } from 'vitest';
import { imagesMend, lackingForCompose } from '../../bench/support/deploy-compose.ts';
import { canBring, lackingForBoxes, temporalPrograms } from '../../bench/support/deploy-programs.ts';
import { repositoryRoot } from '../../deploy/embedded/own-parts.ts';
import { clusterPath } from '../support/cluster-stage.ts';
import { lacks } from '../support/not-run.ts';

/** The short form of `npm run bench -- deploy`: two boxes from nothing, who is refused, and a second time that changes nothing. */

const env = { ...process.env, PATH: clusterPath() };

/** A sandbox may let root make no network. */
function networksAllowed(): boolean {
  const name = `sfrt${process.pid}`;
  const ip = (...args: string[]) => spawnSync('ip', args).status === 0;
  // By names that `ip` takes for no word of its own: `a` would be its `address`.
  const cable = ['name', 'cable0', 'type', 'veth', 'peer', 'name', 'cable1'];
  const has = ip('netns', 'add', name) && ip('-n', name, 'link', 'add', ...cable);
  ip('netns', 'del', name);
  return has;
}

function lacksBoxes(): boolean {
  const built = Object.keys(temporalPrograms).filter((name) => canBring(name, env));
  const missing = lackingForBoxes(env).filter((line) => !built.some((name) => line.startsWith(`${name} `)));
  if (missing.length === 0 && !networksAllowed()) missing.push('a host that lets root make networks');
  const name = 'two boxes made by the kit, on two networks';
  return lacks(
    { test: name, needs: missing.join(', '), command: 'sudo npm test', excused: true },
    missing.length === 0,
  );
}

const missingForCompose = await lackingForCompose();
const lacksCompose = lacks(
  {
    test: 'the compose files of the kit, started on two Dockers',
    needs: missingForCompose.join(', '),
    command: imagesMend,
    excused: true,
  },
  missingForCompose.length === 0,
);

/** @returns what its last line says */
async function bench(...words: string[]): Promise<Record<string, unknown>> {
  const child = spawn(process.execPath, [join(repositoryRoot, 'bench/run.ts'), 'deploy', '--agents=12', ...words], {
    cwd: repositoryRoot,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  // It takes its boxes down by itself.
  onTestFinished(() => void child.kill('SIGTERM'));
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-20_000)));
  const gone = new Promise<number | null>((resolve, reject) => child.once('error', reject).once('close', resolve));
  let last = '{}';
  for await (const line of createInterface({ input: child.stdout })) last = line;
  expect(await gone, `${said}\n${last}`).toBe(0);
  return JSON.parse(last) as Record<string, unknown>;
}

const isWell = { healthy: true, refused_untrusted: true, second_apply_changes: 0 };

test.skipIf(lacksBoxes())(
  'two boxes come up from nothing, take nobody who is not theirs, and a second init changes nothing',
  async () => {
    const figures = await bench('--short');
    expect(figures).toMatchObject(isWell);
    // Each try by its name, those that had to be let in among them.
    const tries = Object.entries(figures['refusals'] as Record<string, string>);
    expect(tries.filter(([, came]) => came === 'let in').map(([name]) => name)).toHaveLength(3);
    expect(tries.length).toBeGreaterThan(10);
  },
  // Temporal's server is built from its Go module where it was never needed before.
  20 * 60_000,
);

test.skipIf(lacksCompose)(
  'the compose files come up from nothing on two Dockers, and a second apply touches no container',
  async () => {
    const figures = await bench('--only=compose', '--short');
    expect(figures).toMatchObject({ ...isWell, second_up_recreates: 0, ui_behind_sign_in: true });
  },
  20 * 60_000,
);
