import {
  ActivityFailure,
  CancellationScope,
  condition,
  continueAsNew,
  defineSignal,
  getExternalWorkflowHandle,
  isCancellation,
  log,
  patched,
  proxyActivities,
  proxyLocalActivities,
  setCurrentDetails,
  setHandler,
  sleep,
  TimeoutFailure,
  workflowInfo,
} from '@temporalio/workflow';
import type { RolloutActivities, RolloutMachineActivities } from '../activities/rollouts.ts';
import { rowsChangedSignal } from '../domain/messages.ts';
import { rollbackWorkflowId, rolloutWorkflowId } from '../domain/ids.ts';
import type { RolloutMove, StepOutcome } from '../domain/rollout-moves.ts';
import type { RolloutState } from '../domain/states.ts';
import { machineQueue } from '../domain/task-queues.ts';
import { inTurn } from './in-turn.ts';
import { reasonOf } from './inference-ladder.ts';
import { assessRun } from './readiness-run.ts';

export interface RollOutInput {
  rolloutId: string;
}
export interface RollOutResult {
  state: RolloutState;
}

const {
  nextRolloutMoves,
  beginRolloutStep,
  endRolloutStep,
  beginRolloutUndo,
  deployServices,
  deploymentOutcome,
  openRolloutAssessment,
  judgeRolloutAssessment,
} = inTurn(
  proxyLocalActivities<RolloutActivities>({
    startToCloseTimeout: '12 seconds',
    retry: { maximumInterval: '5 seconds' },
  }),
);
const { lookAtRollout } = proxyActivities<RolloutActivities>({
  startToCloseTimeout: '1 minute',
  retry: { maximumInterval: '30 seconds' },
  summary: 'whether all is well after a package',
});

/** Each look is some eleven events of the history, so that a long wait is looked at less often; well under the gap that the rows know. */
const looksAreClose = 12;
const lookEvery = (looks: number) => (looks < looksAreClose ? '5 seconds' : '15 seconds');
/** A signal may be lost with Temporal's database. */
const lookAgain = '10 minutes';
const awayMs = 30_000;
/** One that ends just then is not waited for long. */
const firstStandMs = 5_000;
const standMs = 60_000;

type Step = Extract<RolloutMove, { kind: 'step' }>;

/**
 * Carries work packages out: what comes next is worked out of the rows, each step is written down before and after it is done, and
 * people act on the rows, then this is told to read them again. So it may be killed, or begun anew, at any line.
 */
export async function rollOut({ rolloutId }: RollOutInput): Promise<RollOutResult> {
  let changed = false;
  const underWay = new Map<string, Promise<void>>();
  /** Steps that are waited for and run on without us: the next run of this workflow asks for them again, and finds them. */
  const commands = new Set<CancellationScope>();
  let broken: unknown;
  setHandler(defineSignal(rowsChangedSignal), () => {
    changed = true;
  });
  if (workflowInfo().workflowId === rollbackWorkflowId(rolloutId) && patched('one-carries-it'))
    await standBy(rolloutId);
  for (;;) {
    changed = false;
    // Histories from before it was told have none.
    const { moves, state, told = [] } = await nextRolloutMoves({ rolloutId });
    const leaving = () => workflowInfo().continueAsNewSuggested;
    if (!leaving()) for (const move of moves) begin(move, leaving);
    if (leaving()) leaveCommands();
    if (underWay.size === 0) {
      if (state === 'done' || state === 'rolled_back') return { state };
      if (leaving()) await continueAsNew<typeof rollOut>({ rolloutId });
    }
    setCurrentDetails(
      [
        `**${state}**; ${[...underWay.keys()].join(', ') || 'nothing under way'}`,
        told.map((line) => `- ${line}`).join('\n'),
        `\`soulfra rollout show ${rolloutId}\``,
      ].join('\n\n'),
    );
    await condition(() => changed || broken !== undefined, lookAgain, {
      summary: 'until a step ends or a row changes',
    });
    if (broken !== undefined) throw broken;
  }

  /** One may take a day, and what else there is to do would wait for it. */
  function leaveCommands(): void {
    if (commands.size > 0 && patched('commands-run-on')) for (const command of commands) command.cancel();
  }

  function begin(move: RolloutMove, leaving: () => boolean): void {
    const key =
      move.kind === 'step'
        ? `${move.packageId} ${move.phase} ${move.position}${move.machineId === '' ? '' : ` on ${move.machineId}`}`
        : `${move.packageId} ${move.kind}`;
    if (underWay.has(key)) return;
    const made = make(move, leaving)
      .catch((err: unknown) => {
        broken ??= err;
      })
      .finally(() => {
        underWay.delete(key);
        changed = true;
      });
    underWay.set(key, made);
  }

  async function make(move: RolloutMove, leaving: () => boolean): Promise<void> {
    if (move.kind === 'step') return doStep(move, leaving);
    if (move.kind === 'undo') return beginRolloutUndo({ rolloutId, packageId: move.packageId, attempt: move.attempt });
    const of = { rolloutId, packageId: move.packageId, attempt: move.attempt };
    if (move.assess === true && !(await rulesHold(of, leaving))) return;
    for (let looks = 0; !leaving() && (await lookAtRollout(of)); looks++) await sleep(lookEvery(looks));
  }

  /** The run of readiness is of this package and attempt: whoever asks for it again, or beside us, finds the same one. */
  async function rulesHold(
    of: { rolloutId: string; packageId: string; attempt: number },
    leaving: () => boolean,
  ): Promise<boolean> {
    while (!leaving()) {
      const run = await openRolloutAssessment(of);
      if (run === undefined) return false;
      if (!run.isDone) await assess(run);
      const judged = await judgeRolloutAssessment(of);
      if (judged !== 'again') return judged === 'clean';
      await sleep(awayMs);
    }
    return false;
  }

  /** What fails is tried again, as long as its package may wait for it. */
  async function assess({ runId, machineId }: { runId: string; machineId: string | null }): Promise<void> {
    try {
      await assessRun(runId, machineId);
    } catch (err) {
      if (isCancellation(err) || !(err instanceof ActivityFailure)) throw err;
      log.warn('an assessment failed', { runId, reason: reasonOf(err) });
    }
  }

  async function deploy(
    move: Step,
    end: (outcome: StepOutcome) => Promise<void>,
    leaving: () => boolean,
  ): Promise<void> {
    const { packageId, attempt, phase, position, machineId } = move;
    await deployServices({ rolloutId, move });
    for (let looks = 0; !leaving(); looks++) {
      const outcome = await deploymentOutcome({ rolloutId, unit: { packageId, attempt, phase, position, machineId } });
      if (outcome !== undefined) return end(outcome);
      await sleep(lookEvery(looks));
    }
  }

  async function doStep(move: Step, leaving: () => boolean): Promise<void> {
    const { step, packageId, attempt, phase, position, machineId } = move;
    for (;;) {
      const begun = await beginRolloutStep({ rolloutId, move });
      if (begun?.state !== 'running') return;
      const { key, wanted } = begun;
      const unit = { packageId, attempt, phase, position, machineId, key };
      const end = (outcome: StepOutcome) => endRolloutStep({ rolloutId, unit, outcome });
      // Nobody knows whether an attempt that did not answer had begun it; to undo it beside itself is the worst of all.
      const failed = (reason: string) => end({ state: step.kind === 'command' ? 'doubtful' : 'failed', reason });
      if (step.kind === 'manual') return end({ state: 'waiting', reason: step.text });
      const scope = new CancellationScope();
      try {
        if (step.kind === 'deploy') return await deploy(move, end, leaving);
        if (step.kind === 'command') commands.add(scope);
        if (leaving()) leaveCommands();
        const outcome = await scope.run(() => onMachine(move).doRolloutStep({ rolloutId, key, move }));
        return await end(outcome);
      } catch (err) {
        if (leaving() && scope.consideredCancelled) return;
        if (isCancellation(err)) throw err;
        if (!isAway(err)) return failed(reasonOf(err));
        // Whoever holds or takes back the rollout need not wait for the machine.
        if (!wanted) return failed(`${machineId} did not answer`);
        if (leaving()) return;
        await sleep(awayMs);
        if (leaving() && patched('commands-run-on')) return;
      } finally {
        commands.delete(scope);
      }
    }
  }
}

/**
 * The workflow that began a rollout carries it, also back; only one that was done has ended. What looks for lost workflows cannot
 * tell, so this one waits beside the first until that is gone, or all is over.
 */
async function standBy(rolloutId: string): Promise<void> {
  const first = getExternalWorkflowHandle(rolloutWorkflowId(rolloutId));
  for (let ms = firstStandMs; ; ms = standMs) {
    try {
      await first.signal(rowsChangedSignal);
    } catch (err) {
      if (isCancellation(err)) throw err;
      // It runs no more.
      return;
    }
    if (workflowInfo().continueAsNewSuggested) await continueAsNew<typeof rollOut>({ rolloutId });
    await sleep(ms);
    const { state } = await nextRolloutMoves({ rolloutId });
    if (state === 'done' || state === 'rolled_back') return;
  }
}

function onMachine({ machineId, step, packageId }: Step): RolloutMachineActivities {
  return proxyActivities<RolloutMachineActivities>({
    taskQueue: machineQueue(machineId),
    scheduleToStartTimeout: '30 seconds',
    // A command has its own time, kept beside it.
    startToCloseTimeout: '25 hours',
    // What is generated is made of the whole repository, which is read in one go.
    heartbeatTimeout: step.kind === 'generate' ? '1 minute' : '10 seconds',
    retry: { initialInterval: '500 milliseconds', maximumInterval: '10 seconds', maximumAttempts: 20 },
    summary: `${step.kind} of ${packageId}`,
  });
}

function isAway(err: unknown): boolean {
  return (
    err instanceof ActivityFailure &&
    err.cause instanceof TimeoutFailure &&
    err.cause.timeoutType === 'SCHEDULE_TO_START'
  );
}
