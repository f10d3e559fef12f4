import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseRollout, writtenRollout } from '../../config/rollout-file.ts';
import { readinessRules } from '../../domain/readiness-rules.ts';
import { dependantsOf, planRollout, type RolloutPackage } from '../../domain/rollouts.ts';
import { runSoulfra } from '../support/command.ts';
import { inFolder } from '../support/imported.ts';

const shippedFleet = readFileSync(fileURLToPath(new URL('../../fleet.yaml', import.meta.url)), 'utf8');

const manual = '[{ kind: manual, text: look }]';
const fileOf = (...packages: string[]) =>
  `version: 1\nworkPackages:\n${packages.map((each) => `  - ${each}\n`).join('')}`;
const packageOf = (id: string, more = '') => `{ id: ${id}, title: ${id}, steps: ${manual}${more} }`;
const errorsOf = (source: string, machines?: string[]) => {
  const read = parseRollout(source, 'rollout.yaml', machines);
  return 'errors' in read ? read.errors.map(({ line, path, rule, mend }) => `${line} ${path} ${rule}. ${mend}`) : [];
};

test('two of one id, one that is not there, and a circle are refused by name and line', () => {
  const source = fileOf(
    packageOf('wp-01', ', dependsOn: [wp-03]'),
    packageOf('wp-02', ', dependsOn: [wp-01]'),
    packageOf('wp-03', ', dependsOn: [wp-02]'),
    packageOf('wp-02'),
    packageOf('wp-04', ', dependsOn: [wp-4]'),
  );
  expect(errorsOf(source)).toEqual([
    '3 workPackages.0.dependsOn goes in a circle: wp-01 needs wp-03 needs wp-02 needs wp-01. Remove one of these dependencies.',
    '6 workPackages.3.id wp-02 is used twice. Rename one.',
    '7 workPackages.4.dependsOn.0 wp-4 is no package. Did you mean `wp-04`?',
  ]);
});

test('two packages on one field are refused, unless one waits for the other, however far', () => {
  const on = (field: string, more = '') => `, changes: ['${field}']${more}`;
  expect(errorsOf(fileOf(packageOf('a', on('services.*.ports')), packageOf('b', on('services.api'))))).toEqual([
    '4 workPackages.1.changes changes services.*.ports, which a changes, and neither waits for the other. Let one depend on the other, or leave the field to one.',
  ]);
  expect(errorsOf(fileOf(packageOf('a', on('services.api.ports')), packageOf('b', on('services.api.env'))))).toEqual(
    [],
  );
  const read = parseRollout(
    fileOf(
      packageOf('late', on('services', ', dependsOn: [between]')),
      packageOf('between', ', dependsOn: [early]'),
      packageOf('early', on('services.api.ports')),
    ),
    'rollout.yaml',
    undefined,
  );
  if ('errors' in read) throw new Error(JSON.stringify(read.errors));
  const plan = planRollout(read.rollout.workPackages);
  expect(plan.waves).toEqual([['early'], ['between'], ['late']]);
  expect(plan.overlaps).toEqual([{ field: 'services', packages: ['early', 'late'], ordered: true }]);
});

test('a step that could not be undone, a machine that is not there and a way out of the repository are refused', () => {
  const command = "{ id: a, title: a, steps: [{ kind: command, command: ['true'], machines: [pc3] }] }";
  expect(errorsOf(fileOf(command), ['mainpc', 'pc2'])).toEqual([
    '3 workPackages.0.steps has a command, and the package has no undo. Add `undo:` with the command, or the words for a person, that lead back.',
    '3 workPackages.0.steps.0.machines.0 pc3 is not one of its machines. Did you mean `pc2`?',
  ]);
  for (const file of ['../x', '/etc/passwd', 'a/../../b', '.git/config', 'a/.GIT/hooks/x', 'a//b', 'a\\\\b']) {
    const patch = `{ id: a, title: a, steps: [{ kind: patch, edits: [{ file: "${file}", find: x, replace: y }] }] }`;
    expect(errorsOf(fileOf(patch)).join()).toContain('must be a file below the repository');
  }
});

/** Packages without a circle: each needs some of those before it, in an order that the file does not keep. */
const packages = fc
  .array(fc.record({ needs: fc.array(fc.nat(30), { maxLength: 4 }), minutes: fc.nat(60), at: fc.nat() }), {
    minLength: 1,
    maxLength: 25,
  })
  .map((drawn) =>
    drawn
      .map(({ needs, minutes, at }, i) => {
        const dependsOn = i === 0 ? [] : [...new Set(needs.map((other) => `wp-${other % i}`))];
        const verify = { rules: [], healthyMinutes: 0 };
        const each = {
          id: `wp-${i}`,
          title: 'x',
          dependsOn,
          changes: [],
          expectedMinutes: minutes,
          steps: [],
          verify,
          undo: [],
        };
        return { at, each: each satisfies RolloutPackage };
      })
      .toSorted((a, b) => a.at - b.at)
      .map(({ each }) => each),
  );

test('waves hold each package once, after all that it needs; no chain takes longer than the critical path', () => {
  fc.assert(
    fc.property(packages, (drawn) => {
      const { waves, criticalPath } = planRollout(drawn);
      expect(waves.flat().toSorted()).toEqual(drawn.map(({ id }) => id).toSorted());
      const waveOf = new Map(waves.flatMap((ids, wave) => ids.map((id) => [id, wave] as const)));
      const byId = new Map(drawn.map((each) => [each.id, each]));
      for (const { id, dependsOn } of drawn)
        expect(waveOf.get(id)).toBe(Math.max(-1, ...dependsOn.map((other) => waveOf.get(other)!)) + 1);
      // The longest chain, found by going down from every package.
      const known = new Map<string, number>();
      const longest = (id: string): number => {
        const found =
          known.get(id) ?? byId.get(id)!.expectedMinutes + Math.max(0, ...byId.get(id)!.dependsOn.map(longest));
        known.set(id, found);
        return found;
      };
      expect(criticalPath.minutes).toBe(Math.max(...drawn.map(({ id }) => longest(id))));
      expect(criticalPath.packages.reduce((sum, id) => sum + byId.get(id)!.expectedMinutes, 0)).toBe(
        criticalPath.minutes,
      );
      for (const [i, id] of criticalPath.packages.entries())
        if (i > 0) expect(byId.get(id)!.dependsOn).toContain(criticalPath.packages[i - 1]);
    }),
  );
});

test('what waits for a package is all that cannot go on without it', () => {
  fc.assert(
    fc.property(packages, (drawn) => {
      const [first] = drawn;
      const held = dependantsOf(first!.id, drawn);
      const free = new Set(drawn.map(({ id }) => id).filter((id) => id !== first!.id && !held.has(id)));
      for (const { id, dependsOn } of drawn) {
        if (free.has(id)) for (const other of dependsOn) expect(free.has(other)).toBe(true);
        else if (id !== first!.id) expect(dependsOn.some((other) => other === first!.id || held.has(other))).toBe(true);
      }
    }),
  );
});

test('a rule that is none is refused with the one that is meant; names of packages differ by more than case', () => {
  const ruled = packageOf('WP-01', ', verify: { rules: [port-declared-clsh] }');
  expect(errorsOf(fileOf(ruled, packageOf('wp-01')))).toEqual(['4 workPackages.1.id wp-01 is used twice. Rename one.']);
  expect(errorsOf(fileOf(ruled))).toEqual([
    '3 workPackages.0.verify.rules.0 port-declared-clsh is no rule of readiness. Did you mean `port-declared-clash`?',
  ]);
});

const shippedFor = { machines: ['pc2', 'mainpc'], repository: { machine: 'pc2', path: '/srv/fleet' } } as const;

test('the shipped packages are those that rules name, and each rule is verified by the one that it names', () => {
  const read = parseRollout(writtenRollout(shippedFor), 'rollout.yaml', ['mainpc', 'pc2']);
  if ('errors' in read) throw new Error(JSON.stringify(read.errors));
  const { workPackages } = read.rollout;
  const ids = Array.from({ length: 12 }, (_, i) => `WP-${String(i + 1).padStart(2, '0')}`);
  expect(workPackages.map(({ id }) => id)).toEqual(ids);
  const verifiedBy = workPackages.flatMap(({ id, verify }) => verify.rules.map((rule) => `${rule} ${id}`));
  const named = Object.entries(readinessRules).map(([rule, { workPackage }]) => `${rule} ${workPackage}`);
  expect(verifiedBy.toSorted()).toEqual(named.toSorted());
  for (const { undo, steps } of workPackages) {
    expect(undo).not.toEqual([]);
    for (const step of steps) if (step.kind === 'deploy') expect(step.canary).toBe('pc2');
  }
  const plan = planRollout(workPackages);
  expect(plan.waves[0]).toEqual(['WP-01']);
  expect(plan.waves.at(-1)).toEqual(['WP-12']);
  expect(plan.overlaps).toEqual([{ field: 'services.*.environment', packages: ['WP-05', 'WP-10'], ordered: true }]);
});

test('init writes for a fleet and its repository, and never over what somebody has changed', () =>
  inFolder({ 'fleet/fleet.yaml': shippedFleet, 'repository/.git/HEAD': 'ref: refs/heads/main\n' }, async (folder) => {
    const options = { cwd: join(folder, 'fleet'), env: {} };
    const init = ['rollout', 'init', '../repository', '--on', 'pc2'];
    expect(await runSoulfra(['rollout', 'init', '../repository'], options)).toMatchObject({ code: 2 });
    expect((await runSoulfra(['rollout', 'init', '.', '--on', 'pc2'], options)).err).toContain('no git repository');
    expect(await runSoulfra(init, options)).toMatchObject({ code: 0 });
    const file = join(folder, 'fleet/rollout.yaml');
    const written = readFileSync(file, 'utf8');
    expect(written).toContain(`path: ${join(folder, 'repository')}`);
    expect((await runSoulfra(init, options)).out).toContain('is so already');
    const planned = await runSoulfra(['rollout', 'plan'], options);
    expect(planned).toMatchObject({ code: 0 });
    expect(planned.out).toMatch(/critical path: WP-01 → .+ → WP-12, \d+ min/);
    writeFileSync(file, written.replace('Hosts and ports', 'Ports'));
    const refused = await runSoulfra(init, options);
    expect(refused).toMatchObject({ code: 2 });
    expect(refused.err).toContain('is there already');
    expect(readFileSync(file, 'utf8')).toContain('title: Ports');
    expect(await runSoulfra([...init, '--force'], options)).toMatchObject({ code: 0 });
    expect(readFileSync(file, 'utf8')).toBe(written);
  }));
