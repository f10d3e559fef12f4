import fc from 'fast-check';
import { expect, test } from 'vitest';
import { nextMoves, packageStateOf, type RolloutMove, type RolloutPhase, unitsOf } from '../../domain/rollout-moves.ts';
import { dependantsOf, type RolloutFile, rolloutFileSchema } from '../../domain/rollouts.ts';
import type { RolloutPackageState, RolloutState, RolloutStepState } from '../../domain/states.ts';

const machines = ['mainpc', 'pc2', 'pc3'];
const stepArb = fc.constantFrom(
  { kind: 'patch', edits: [{ file: 'a', find: 'x', replace: 'y' }] },
  { kind: 'deploy', canary: 'pc2' },
  { kind: 'command', command: ['true'] },
  { kind: 'command', command: ['true'], machines: ['pc3'] },
  { kind: 'manual', text: 'look' },
);
const fileArb: fc.Arbitrary<RolloutFile> = fc
  .array(
    fc.record({
      needs: fc.array(fc.nat(20), { maxLength: 3 }),
      steps: fc.array(stepArb, { minLength: 1, maxLength: 3 }),
    }),
    {
      minLength: 1,
      maxLength: 7,
    },
  )
  .map((drawn) =>
    rolloutFileSchema.parse({
      version: 1,
      repository: { machine: 'pc2', path: '/srv/fleet' },
      workPackages: drawn.map(({ needs, steps }, i) => ({
        id: `wp-${i}`,
        title: 'x',
        dependsOn: i === 0 ? [] : [...new Set(needs.map((other) => `wp-${other % i}`))],
        steps,
        undo: [{ kind: 'command', command: ['undo'] }],
      })),
    }),
  );

interface Row {
  phase: RolloutPhase;
  position: number;
  machineId: string;
  state: RolloutStepState;
}
interface Package {
  id: string;
  state: RolloutPackageState;
  attempt: number;
  undoTo: 'failed' | 'undone' | null;
  steps: Row[];
}

/** The rows and what the store does to them, in memory; moves are ended in any order, with any outcome. */
function walk(file: RolloutFile, chances: readonly number[]) {
  const packages: Package[] = file.workPackages.map(({ id }) => ({
    id,
    state: 'waiting',
    attempt: 1,
    undoTo: null,
    steps: [],
  }));
  let state: RolloutState = 'running';
  const standing = () => ({ state, file, machines, packages });
  const byId = new Map(packages.map((each) => [each.id, each]));
  const recompute = (each: Package) => {
    const next = packageStateOf(standing(), each);
    if (next === 'undoing' && each.state !== 'undoing') each.undoTo = 'failed';
    each.state = next;
  };
  const told: string[] = [];
  let turn = 0;
  const chance = (of: number) => (chances[turn++ % chances.length]! + turn * 7) % of;
  for (let round = 0; round < 600; round++) {
    const { moves, becomes } = nextMoves(standing());
    check(moves);
    if (becomes !== undefined) {
      state = becomes;
      if (becomes !== 'held') return { packages, state, told };
      const act = chance(3);
      if (act === 0) state = 'rolling_back';
      else
        for (const each of packages)
          if (each.state === 'failed' || each.state === 'stuck') {
            if (act === 1 || each.state === 'stuck') each.state = 'skipped';
            else Object.assign(each, { state: 'waiting', attempt: each.attempt + 1, undoTo: null, steps: [] });
          }
      if (state === 'held') state = 'running';
      continue;
    }
    if (moves.length === 0) {
      const asked = packages.find(({ steps }) => steps.some((step) => step.state === 'waiting'));
      if (asked !== undefined && state !== 'paused') {
        const step = asked.steps.find((step) => step.state === 'waiting')!;
        step.state = chance(5) === 0 ? 'failed' : 'done';
        recompute(asked);
      } else if (state === 'paused') state = 'running';
      else for (const each of packages) if (each.state === 'stuck') each.state = 'skipped';
      continue;
    }
    if (state === 'running' && chance(60) === 0) state = 'paused';
    if (state === 'running' && chance(90) === 0) state = 'rolling_back';
    const move = moves[chance(moves.length)]!;
    const each = byId.get(move.packageId)!;
    if (move.kind === 'undo') {
      each.state = 'undoing';
      each.undoTo = 'undone';
      told.push(`undo ${each.id}`);
      recompute(each);
    } else if (move.kind === 'verify') {
      each.state = chance(8) === 0 ? 'undoing' : 'done';
      if (each.state === 'undoing') {
        each.undoTo = 'failed';
        recompute(each);
      } else told.push(`done ${each.id}`);
    } else {
      const { phase, position, machineId } = move;
      const row = each.steps.find(
        (step) => step.phase === phase && step.position === position && step.machineId === machineId,
      );
      if (row === undefined) {
        if (each.state === 'waiting') {
          const { dependsOn } = file.workPackages.find(({ id }) => id === each.id)!;
          for (const other of dependsOn) expect(['done', 'skipped']).toContain(byId.get(other)!.state);
        }
        each.steps.push({ phase, position, machineId, state: move.step.kind === 'manual' ? 'waiting' : 'running' });
      } else {
        expect(row.state).toBe('running');
        row.state = chance(12) === 0 ? 'failed' : 'done';
      }
      recompute(each);
    }
  }
  throw new Error('does not end');

  function check(moves: readonly RolloutMove[]): void {
    const onMachines = moves.flatMap((move) => (move.kind === 'step' && move.machineId !== '' ? [move.machineId] : []));
    expect(new Set(onMachines).size).toBe(onMachines.length);
    expect(moves.filter((move) => move.kind === 'step' && move.step.kind === 'deploy').length).toBeLessThanOrEqual(1);
  }
}

test('whatever fails, waits or is taken back: it ends, nothing begins before what it needs, and a rollback leaves nothing', () => {
  fc.assert(
    fc.property(fileArb, fc.array(fc.nat(1_000), { minLength: 40, maxLength: 80 }), (file, chances) => {
      const { packages, state, told } = walk(file, chances);
      if (state === 'done') for (const each of packages) expect(['done', 'skipped']).toContain(each.state);
      else {
        expect(state).toBe('rolled_back');
        for (const each of packages) expect(['waiting', 'failed', 'undone', 'skipped']).toContain(each.state);
      }
      // Taken back before what it leaned on.
      for (const { id } of file.workPackages)
        for (const later of dependantsOf(id, file.workPackages)) {
          const [own, other] = [told.indexOf(`undo ${id}`), told.indexOf(`undo ${later}`)];
          if (own !== -1 && other !== -1) expect(other).toBeLessThan(own);
        }
      for (const each of packages) {
        if (each.state !== 'undone' && each.state !== 'failed') continue;
        const definition = file.workPackages.find(({ id }) => id === each.id)!;
        for (const unit of unitsOf({ file, machines }, definition, each, 'undo'))
          expect(
            each.steps.some(
              (step) =>
                step.phase === 'undo' &&
                step.position === unit.position &&
                step.machineId === unit.machineId &&
                step.state === 'done',
            ),
          ).toBe(true);
      }
    }),
    { numRuns: 400 },
  );
});

test('what a machine let not begin is not taken back there', () => {
  const file = rolloutFileSchema.parse({
    version: 1,
    repository: { machine: 'pc2', path: '/srv/fleet' },
    workPackages: [
      {
        id: 'wp-0',
        title: 'x',
        steps: [
          { kind: 'patch', edits: [{ file: 'a', find: 'x', replace: 'y' }] },
          { kind: 'command', command: ['migrate'] },
        ],
        undo: [{ kind: 'command', command: ['migrate', '--down'] }],
      },
    ],
  });
  const undoOf = (steps: Array<Row & { refused?: boolean }>) =>
    unitsOf({ file, machines }, file.workPackages[0]!, { steps }, 'undo').map(
      ({ step, machineId }) => `${step.kind} ${machineId}`,
    );
  const step = (position: number, machineId: string, refused = false) =>
    ({ phase: 'steps', position, machineId, state: refused ? 'failed' : 'done', refused }) as const;
  expect(undoOf([step(0, 'pc2', true)])).toEqual([]);
  expect(undoOf([step(0, 'pc2'), step(1, 'mainpc'), step(1, 'pc2', true)])).toEqual([
    'command mainpc',
    'drop_branch pc2',
  ]);
});
