import { dependantsOf, type RolloutFile, type RolloutPackage, type RolloutStep } from './rollouts.ts';
import type { RolloutPackageState, RolloutState, RolloutStepState } from './states.ts';

/** What comes next in a rollout, out of its rows alone: whoever reads them comes to the same. */

export type RolloutPhase = 'steps' | 'undo';

/** A step on one machine. */
export interface RolloutUnit {
  phase: RolloutPhase;
  position: number;
  /** Empty: a person's. */
  machineId: string;
  step: RolloutStep | { kind: 'drop_branch' };
}

export interface StandingStep {
  phase: RolloutPhase;
  position: number;
  machineId: string;
  state: RolloutStepState;
  /** Its machine let it not begin, so there is nothing of it to be taken back. */
  refused?: boolean;
}

/** What a step came to. */
export interface StepOutcome {
  state: Exclude<RolloutStepState, 'running'>;
  reason?: string;
  result?: Record<string, unknown>;
  /** Nothing of it was begun. */
  refused?: true;
}

export interface StandingPackage {
  id: string;
  state: RolloutPackageState;
  attempt: number;
  undoTo: 'failed' | 'undone' | null;
  /** Of this attempt. */
  steps: readonly StandingStep[];
}

export interface RolloutStanding {
  state: RolloutState;
  file: RolloutFile;
  /** All of the fleet. */
  machines: readonly string[];
  packages: readonly StandingPackage[];
  /** Packages of which no deployment may begin now. */
  blocked?: ReadonlySet<string>;
}

export type RolloutMove =
  | ({ kind: 'step'; packageId: string; attempt: number } & RolloutUnit)
  /** assess: its rules are looked at before its health. */
  | { kind: 'verify'; packageId: string; attempt: number; assess?: true }
  | { kind: 'undo'; packageId: string; attempt: number };

export interface NextMoves {
  moves: RolloutMove[];
  /** Packages that wait, since their next step is a deployment that may not begin. */
  parked?: string[];
  /** What the rollout has come to, where it is not what its row says. */
  becomes?: 'done' | 'held' | 'rolled_back';
}

/** Under way: begun, and neither done nor taken back. */
const openStates: readonly RolloutPackageState[] = ['running', 'verifying', 'undoing', 'stuck'];

/** Which moves can be made at once; the same ones again while they are under way. */
export function nextMoves(standing: RolloutStanding): NextMoves {
  const { state, file, packages } = standing;
  const byId = new Map(packages.map((each) => [each.id, each]));
  const stateOf = (id: string) => byId.get(id)!.state;
  const moves: RolloutMove[] = [];
  const parked: string[] = [];
  const add = (each: StandingPackage, unit: RolloutUnit | undefined) => {
    if (unit !== undefined) moves.push({ kind: 'step', packageId: each.id, attempt: each.attempt, ...unit });
  };
  for (const definition of file.workPackages) {
    const each = byId.get(definition.id)!;
    const { id: packageId, attempt } = each;
    // What has begun is ended, also where nothing new is to begin.
    const begun = each.steps.find((step) => step.state === 'running');
    if (begun !== undefined) add(each, unitsOf(standing, definition, each, begun.phase).find(isOf(begun)));
    else if (each.state === 'undoing') add(each, nextUnit(standing, definition, each, 'undo'));
    else if (state === 'running') {
      if (each.state === 'verifying') {
        const { rules } = definition.verify;
        moves.push({ kind: 'verify', packageId, attempt, ...(rules.length === 0 ? {} : { assess: true as const }) });
      }
      const ready = definition.dependsOn.every((other) => ['done', 'skipped'].includes(stateOf(other)));
      if (each.state === 'running' || (each.state === 'waiting' && ready)) {
        const unit = nextUnit(standing, definition, each, 'steps');
        // Not begun, it keeps nobody: what mends the finding may be deployed before it.
        if (unit?.step.kind === 'deploy' && standing.blocked?.has(packageId)) parked.push(packageId);
        else add(each, unit);
      }
    } else if (
      state === 'rolling_back' &&
      ['running', 'verifying', 'done'].includes(each.state) &&
      // It may be under way yet: a person says, before it is undone beside itself.
      !each.steps.some((step) => step.state === 'doubtful')
    ) {
      const later = [...dependantsOf(packageId, file.workPackages)].map(stateOf);
      // The last first: what leans on it is taken back before it.
      if (!later.some((other) => other === 'done' || openStates.includes(other)))
        moves.push({ kind: 'undo', packageId, attempt });
    }
  }
  const now = onePerMachine(standing, moves);
  if (now.length > 0) return { moves: now, parked };
  const states = packages.map((each) => each.state);
  const over = !states.some((each) => openStates.includes(each));
  if (state === 'rolling_back' && over && !states.includes('done')) return { moves: [], becomes: 'rolled_back' };
  if (state !== 'running') return { moves: [] };
  if (states.every((each) => each === 'done' || each === 'skipped')) return { moves: [], becomes: 'done' };
  const asked = packages.some(({ steps }) =>
    steps.some((step) => step.state === 'waiting' || step.state === 'doubtful'),
  );
  return asked || parked.length > 0 ? { moves: [], parked } : { moves: [], becomes: 'held' };
}

/** What a package has come to, after a step of it has ended or it was told to be taken back. */
export function packageStateOf(
  standing: Pick<RolloutStanding, 'file' | 'machines'>,
  each: StandingPackage,
): RolloutPackageState {
  const definition = standing.file.workPackages.find(({ id }) => id === each.id)!;
  const ended = (phase: RolloutPhase) =>
    unitsOf(standing, definition, each, phase).every((unit) =>
      each.steps.some((step) => isOf(step)(unit) && step.state === 'done'),
    );
  const failed = (phase: RolloutPhase) => each.steps.some((step) => step.phase === phase && step.state === 'failed');
  if (each.state === 'running' || each.state === 'waiting') {
    if (failed('steps')) return ended('undo') ? 'failed' : 'undoing';
    return ended('steps') ? 'verifying' : 'running';
  }
  if (each.state !== 'undoing') return each.state;
  if (failed('undo')) return 'stuck';
  return ended('undo') ? (each.undoTo ?? 'failed') : 'undoing';
}

/** The steps of a package as they are done, machine by machine; of its undo only what there is to take back. */
export function unitsOf(
  { file, machines }: Pick<RolloutStanding, 'file' | 'machines'>,
  definition: RolloutPackage,
  each: Pick<StandingPackage, 'steps'>,
  phase: RolloutPhase,
): RolloutUnit[] {
  const own = definition.machines ?? machines;
  const unfolded = (steps: readonly RolloutStep[]) =>
    steps.flatMap((step, position) =>
      machinesOf(step).map((machineId): RolloutUnit => ({ phase, position, machineId, step })),
    );
  if (phase === 'steps') return unfolded(definition.steps);
  const begun = (position: number, machineId?: string) =>
    each.steps.some(
      (step) =>
        step.phase === 'steps' &&
        !step.refused &&
        step.position === position &&
        (machineId === undefined || step.machineId === machineId),
    );
  const positions = definition.steps.map(({ kind }, i) => ({ kind, i }));
  const byHand = positions.some(({ kind, i }) => kind === 'manual' && begun(i));
  /** Where a command has begun; what a person did may have been anywhere. */
  const touched = (machineId: string) =>
    byHand || positions.some(({ kind, i }) => kind === 'command' && begun(i, machineId));
  const undone = unfolded(definition.undo).filter(({ step, machineId }) =>
    step.kind === 'command' && step.machines === undefined
      ? touched(machineId)
      : byHand || positions.some(({ kind, i }) => kind === 'command' && begun(i)),
  );
  const written = definition.steps.flatMap((step, i) =>
    begun(i) && (step.kind === 'patch' || step.kind === 'generate') ? [file.repository!.machine] : [],
  );
  const after = definition.undo.length;
  return [
    ...undone,
    // Both are one branch.
    ...written
      .slice(0, 1)
      .map((machineId) => ({ phase, position: after, machineId, step: { kind: 'drop_branch' as const } })),
    ...definition.steps.flatMap((step, i) =>
      step.kind === 'deploy'
        ? machinesOf(step)
            .filter((machineId) => begun(i, machineId))
            .map((machineId) => ({ phase, position: after + 1 + i, machineId, step }))
        : [],
    ),
  ];

  function machinesOf(step: RolloutStep): readonly string[] {
    switch (step.kind) {
      case 'patch':
      case 'generate':
        return [file.repository!.machine];
      case 'command':
        return step.machines ?? own;
      case 'deploy':
        return step.canary === undefined ? own : [step.canary, ...own.filter((machine) => machine !== step.canary)];
      case 'manual':
        return [''];
    }
  }
}

const isOf = (step: Pick<StandingStep, 'phase' | 'position' | 'machineId'>) => (unit: RolloutUnit) =>
  unit.phase === step.phase && unit.position === step.position && unit.machineId === step.machineId;

function nextUnit(
  standing: RolloutStanding,
  definition: RolloutPackage,
  each: StandingPackage,
  phase: RolloutPhase,
): RolloutUnit | undefined {
  const unit = unitsOf(standing, definition, each, phase).find(
    (unit) => !each.steps.some((step) => isOf(step)(unit) && step.state === 'done'),
  );
  // A person is asked, or it failed: then the package is what its row says.
  return unit !== undefined && each.steps.some((step) => isOf(step)(unit)) ? undefined : unit;
}

/** A machine does one step at a time, and one machine at a time is deployed to; what has begun goes first. */
function onePerMachine({ packages }: RolloutStanding, moves: readonly RolloutMove[]): RolloutMove[] {
  const begun = (move: RolloutMove) =>
    move.kind === 'step' &&
    packages
      .find(({ id }) => id === move.packageId)!
      .steps.some((step) => isOf(step)(move) && step.state === 'running');
  const taken = new Set<string>();
  return [...moves.filter(begun), ...moves.filter((move) => !begun(move))].filter((move) => {
    if (move.kind !== 'step' || move.machineId === '') return true;
    const needed = move.step.kind === 'deploy' ? [move.machineId, 'any deployment'] : [move.machineId];
    if (needed.some((place) => taken.has(place))) return false;
    for (const place of needed) taken.add(place);
    return true;
  });
}
