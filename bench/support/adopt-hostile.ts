import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { treeLimits } from '../../config/imports/tree.ts';
import { runSoulfra } from '../../test/support/command.ts';
import { assessed } from './adopt-readiness.ts';
import { type AdoptStage, eventually } from './adopt-stage.ts';
import { yamlBomb, yamlMerges } from '../../test/support/hostile-yaml.ts';

export interface HostileVerdict {
  tried: number;
  /** What was not refused, by name. */
  taken: string[];
  /** Programs that were run, and words from outside that were read. */
  run: string[];
}

const shipped = fileURLToPath(new URL('../../fleet.yaml', import.meta.url));
/** Stands outside of all that may be read. */
const secret = 'quiet-words-4321';

/** Everything hostile that an import, an assessment, a rollout and a token are given; what is refused is said by name, and nothing of it is run. */
export async function tryHostile(stage: AdoptStage, serviceToken: string): Promise<HostileVerdict> {
  const made = join(stage.folder, 'made');
  writeFileSync(join(stage.outside, 'secret.yaml'), `leak: { script: leak.py, args: [${secret}] }\n`);
  writeFileSync(join(stage.outside, '.env'), `P=${secret}\n`);
  const tree = join(stage.allowed, 'hostile');
  const expected = plantHostile(tree, stage.outside, made);
  const results = new Map<string, boolean>();
  const said: string[] = [];

  const home = join(stage.folder, 'hostile-home');
  mkdirSync(home);
  copyFileSync(shipped, join(home, 'fleet.yaml'));
  const soulfra = async (...args: string[]) => {
    const ended = await runSoulfra(args, { cwd: home, env: {} });
    said.push(ended.out, ended.err);
    return ended;
  };
  const imported = await soulfra('--json', 'import', tree);
  const told =
    imported.code === 0
      ? (JSON.parse(imported.out) as { skipped: Array<{ path: string }>; notes: string[] })
      : undefined;
  for (const path of expected.skipped)
    results.set(`import ${path}`, told?.skipped.some((each) => each.path === path) === true);
  for (const words of expected.noted)
    results.set(`import ${words}`, told?.notes.some((note) => note.includes(words)) === true);
  said.push(readFileSync(join(home, 'fleet.d/imported.yaml'), 'utf8'));
  for (const file of ['../../outside/secret.yaml', join(stage.outside, 'secret.yaml'), 'secret.yaml'])
    results.set(
      `import of a machine's ${file.replaceAll(stage.folder, '')}`,
      (await soulfra('import', tree, '--machine', `mainpc=${file}`)).code !== 0,
    );

  await assessHostile(stage, tree, expected.skipped, results, said);
  await rollOutHostile(stage, made, results);
  // A service's token opens what is for services alone.
  for (const [method, path, body] of [
    ['POST', '/rollouts', { source: '{}' }],
    ['POST', '/readiness/runs', { folder: stage.repository }],
    ['GET', '/users', undefined],
    ['POST', '/tokens', { service: 'memory-indexer' }],
  ] as const) {
    const { status } = await stage.ask(method, path, body, serviceToken);
    results.set(`a service's token: ${method} ${path}`, status === 403);
  }
  const leaked = said.some((text) => text.includes(secret));
  return {
    tried: results.size,
    taken: [...results].filter(([, refused]) => !refused).map(([name]) => name),
    run: [...(existsSync(made) ? [readFileSync(made, 'utf8').trim()] : []), ...(leaked ? ['words from outside'] : [])],
  };
}

/** What no reader may follow, unfold, open or run, beside one good file. @returns what has to be told of it */
function plantHostile(tree: string, outside: string, made: string): { skipped: string[]; noted: string[] } {
  mkdirSync(tree, { recursive: true });
  const deep = 'd/'.repeat(treeLimits.depth + 1);
  const odd = { name: 'odd\u001b[31m\nname.yaml', shown: 'odd?[31m?name.yaml' };
  const files: Record<string, string | Buffer> = {
    'bomb.yaml': `${yamlBomb.join('\n')}\n`,
    'merges.yaml': `${yamlMerges.join('\n')}\n`,
    'compose.yaml': `x: &x { ${yamlBomb.join(', ').replaceAll('\n', ' ')} }\nservices: *x\n`,
    'brackets.yaml': '['.repeat(300_000),
    'blocks.yaml': Array.from({ length: 200 }, (_, i) => `${' '.repeat(i)}a:`).join('\n'),
    'inside.yaml': 'a: &a { b: *a }\n',
    'nowhere.yaml': 'a: *b\n',
    'huge.yaml': `# ${'x'.repeat(treeLimits.fileBytes)}\nhuge: { script: huge.py }\n`,
    'binary.yaml': 'a: \0\n',
    'latin.yaml': Buffer.from([0x61, 0x3a, 0x20, 0xe9, 0x0a]),
    [odd.name]: 'odd: { script: odd.py }\n',
  };
  const harmless: Record<string, string> = {
    'good.yaml': 'good: { script: good.py, port: 7000 }\n',
    'good.py': 'print(1)\n',
    'up.yaml':
      'up: { script: ../../../../etc/passwd, env_file: ../../outside/.env, port: "${P}" }\ninclude: ../../outside/secret.yaml\n',
    'calls.yaml': `calls: { script: calls.sh, args: "$(touch ${made})", port: "$(touch ${made})" }\nticks: { script: calls.sh, args: ["\`touch ${made}\`"] }\n`,
    'calls.sh': `#!/bin/sh\ntouch ${made}\n`,
    'proto.yaml': '__proto__: { script: proto.py, port: 1 }\n',
    'tagged.yaml': 'tagged: { script: !!python/object/apply:os.system ["touch x"], port: 7001 }\n',
    'setup.py': `open(${JSON.stringify(made)}, "w")\n`,
    Makefile: `$(shell touch ${made})\n`,
  };
  for (const [name, text] of Object.entries({ ...files, ...harmless })) writeFileSync(join(tree, name), text);
  chmodSync(join(tree, 'calls.sh'), 0o755);
  mkdirSync(join(tree, deep), { recursive: true });
  writeFileSync(join(tree, deep, 'deep.yaml'), 'deep: { script: deep.py }\n');
  const links: Record<string, string> = {
    linked: outside,
    'secret.yaml': join(outside, 'secret.yaml'),
    '.env': join(outside, '.env'),
    'broken.yaml': '/nowhere/at/all',
    'zero.yaml': '/dev/zero',
    'passwd.yaml': '../../../../../../../../etc/passwd',
  };
  for (const [name, to] of Object.entries(links)) symlinkSync(to, join(tree, name));
  symlinkSync(tree, join(tree, 'loop'));
  execFileSync('mkfifo', [join(tree, 'pipe.yaml')]);
  const shown = Object.keys(files).map((name) => (name === odd.name ? odd.shown : name));
  return {
    skipped: [...shown, ...Object.keys(links), 'pipe.yaml', deep],
    noted: ['../../outside/secret.yaml, which lies outside'],
  };
}

/** Folders that the machine does not allow, and the hostile tree itself, read by a worker. */
async function assessHostile(
  stage: AdoptStage,
  tree: string,
  skipped: readonly string[],
  results: Map<string, boolean>,
  said: string[],
): Promise<void> {
  const { ask, outside, allowed } = stage;
  symlinkSync(outside, join(allowed, 'led-out'));
  for (const folder of [outside, '/etc', join(allowed, 'led-out'), `${allowed}/../outside`]) {
    const { status, body } = await ask('POST', '/readiness/runs', { folder, machineId: 'pc2' });
    const ended = status === 202 ? await assessed(ask, body['runId'] as string) : { state: 'failed', reason: '' };
    said.push(ended.reason);
    results.set(`assess ${folder.replaceAll(stage.folder, '')}`, ended.state === 'failed');
  }
  const { body } = await ask('POST', '/readiness/runs', { folder: tree, machineId: 'pc2' });
  const ended = await assessed(ask, body['runId'] as string);
  const report = await ask('GET', '/readiness?format=markdown');
  const row = await stage.lab.db
    .selectFrom('readinessRuns')
    .select('inventory')
    .where('id', '=', body['runId'] as string)
    .executeTakeFirst();
  const inventory = row?.inventory as { skipped?: Array<{ path: string }> } | null | undefined;
  said.push(JSON.stringify(report.body), JSON.stringify(inventory));
  // The hostile tree is read to its end, and all that is left out is named.
  const named = skipped.filter((path) => inventory?.skipped?.some((each) => each.path === path) !== true);
  results.set(
    `assess the hostile tree${named.length === 0 ? '' : `: ${named.join(', ')}`}`,
    ended.state === 'done' && named.length === 0,
  );
}

/** Files of a rollout that are refused as such, then packages that no machine agrees to. */
async function rollOutHostile(stage: AdoptStage, made: string, results: Map<string, boolean>): Promise<void> {
  const { ask, repository, allowed } = stage;
  const file = (steps: object[], path = repository) => ({
    version: 1,
    repository: { machine: 'pc2', path },
    workPackages: [{ id: 'wp-01', title: 'Hostile', steps, undo: [{ kind: 'manual', text: 'nothing' }] }],
  });
  const edit = (name: string) => ({ kind: 'patch', edits: [{ file: name, find: 'a', replace: 'b' }] });
  const refused: Record<string, string> = {
    ...Object.fromEntries(
      ['../outside/secret.yaml', '/etc/passwd', '.git/config', 'a/../../b', 'a/.GIT/hooks/post-commit'].map((name) => [
        `a patch of ${name}`,
        JSON.stringify(file([edit(name)])),
      ]),
    ),
    'a bomb': `${yamlBomb.join('\n')}\n`,
    'brackets without end': '['.repeat(300_000),
    'over two megabytes': `# ${'x'.repeat(3 * 1024 * 1024)}\n`,
    'a machine that is not there': JSON.stringify(
      file([{ kind: 'command', command: ['/usr/bin/touch', made], machines: ['tower'] }]),
    ),
  };
  for (const [name, source] of Object.entries(refused)) {
    const { status } = await ask('POST', '/rollouts', { source });
    results.set(`a rollout with ${name}`, status >= 400 && status < 500);
  }
  // The trust files name one other command, and let nobody write to any repository.
  stage.trust([['/usr/bin/true']], []);
  for (const [name, steps, path] of [
    [
      'a command that is not trusted',
      [{ kind: 'command', command: ['/usr/bin/touch', made], machines: ['pc2'] }],
      repository,
    ],
    [
      'more words than are trusted',
      [{ kind: 'command', command: ['/usr/bin/true', `$(touch ${made})`], machines: ['pc2'] }],
      repository,
    ],
    ['a repository that is not trusted', [edit('config/door.yaml')], repository],
    ['a folder that is no repository', [edit('config/door.yaml')], `${allowed}/../outside`],
  ] as const) {
    const { status, body } = await ask('POST', '/rollouts', { source: JSON.stringify(file([...steps], path)) });
    if (status !== 201) {
      results.set(`a rollout of ${name}`, status < 500);
      continue;
    }
    const id = body['id'] as string;
    const stateOf = async () => (await ask('GET', `/rollouts/${id}`)).body as unknown as Standing;
    const settled = async (states: readonly string[]) => {
      await eventually(
        `the rollout of ${name} is ${states.join(' or ')}`,
        async () => {
          const { state, packages } = await stateOf();
          for (const each of packages)
            if (each.steps.some((step) => step.state === 'waiting'))
              await ask('POST', `/rollouts/${id}/packages/${each.id}/answer`, { outcome: 'done', reason: 'nothing' });
          return states.includes(state);
        },
        120_000,
      );
      return stateOf();
    };
    const held = await settled(['held', 'done']);
    const state = held.packages[0]?.state;
    results.set(`a rollout of ${name}`, held.state === 'held' && (state === 'failed' || state === 'stuck'));
    await ask('POST', `/rollouts/${id}/packages/wp-01/skip`);
    await settled(['done']);
  }
}

interface Standing {
  state: string;
  packages: Array<{ id: string; state: string; steps: Array<{ state: string }> }>;
}
