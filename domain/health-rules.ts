import type { MirrorTarget } from './public-mirror.ts';
import { durationSeconds } from './durations.ts';
import type { CertificateKind } from './joins.ts';
import type { HealthState, MachineState, RunsAs, ServiceState } from './states.ts';

/** What one look at a subject says of it. */
export interface Judgement {
  state: HealthState;
  /** In words; stands still while nothing changes, so that nothing is written. Empty where all is well. */
  reason: string;
}

const ok: Judgement = { state: 'ok', reason: '' };

/** Of a worker, a model server and a disk whose machine is lost: the machine is the cause, and is told of itself. */
export const machineLostReason = 'its machine is lost';

/** All times are seconds since 1970, by the clock of the database. */
export interface AgentFacts {
  paused: boolean;
  cadence: string;
  /** When it was born or resumed or its last run ended, whichever was last. */
  quietSince: number;
  /** Ends of its last three runs, the newest first; what was canceled, or skipped, is not among them. */
  ends: readonly string[];
  /** Of the newest of them. */
  lastReason: string;
  /** Of the run that is open; null: none is. */
  openState: string | null;
  openReason: string | null;
  /** Why no machine serves it; null: one does. */
  unplaced: string | null;
}

/** So many runs in a row that bring nothing, and an agent is failing. */
const runsUntilFailing = 3;

/** How long an agent may be quiet before it is late, and before it is failing. */
function quietLimits(cadence: string): { late: number; failing: number } {
  const seconds = durationSeconds(cadence);
  return { late: Math.max(1.5 * seconds, seconds + 300), failing: Math.max(3 * seconds, seconds + 900) };
}

export function judgeAgent(facts: AgentFacts, now: number): Judgement {
  if (facts.paused) return { state: 'ok', reason: 'paused' };
  const { ends, lastReason, openState, openReason } = facts;
  const because = lastReason === '' ? '' : `: ${lastReason}`;
  if (ends.length >= runsUntilFailing && !ends.includes('done')) {
    return ends.every((end) => end === 'empty')
      ? { state: 'failing', reason: `its last ${runsUntilFailing} runs came out empty${because}` }
      : {
          state: 'failing',
          reason: `none of its last ${runsUntilFailing} runs brought anything; the last ${ends[0]}${because}`,
        };
  }
  const quiet = now - facts.quietSince;
  const limits = quietLimits(facts.cadence);
  if (quiet > limits.late) {
    const open = openState === null ? 'none is open' : `one is ${openState}${openReason ? `: ${openReason}` : ''}`;
    return {
      state: quiet > limits.failing ? 'failing' : 'late',
      reason: `no run has ended since ${minute(facts.quietSince)}, and one should every ${facts.cadence}; ${open}`,
    };
  }
  if (ends[0] === 'failed') return { state: 'late', reason: `its last run failed${because}` };
  if (openState === 'parked')
    return { state: 'late', reason: `its run is parked${openReason ? `: ${openReason}` : ''}` };
  if (facts.unplaced !== null) return { state: 'late', reason: `no machine serves it: ${facts.unplaced}` };
  return ok;
}

/** Until when an agent that is well stays so, whatever the clock says, if nothing happens to it. */
export function wellUntil({ quietSince, cadence }: Pick<AgentFacts, 'quietSince' | 'cadence'>): number {
  return quietSince + quietLimits(cadence).late;
}

export interface MachineFacts {
  state: MachineState;
  reason: string;
  /** Before its first start no worker has ever held its lease. */
  neverStarted: boolean;
  /** Why it gives its GPUs to their owner now; null: it does not. */
  yields?: string | null;
}

const neverStarted: Judgement = { state: 'not_set_up', reason: 'its worker was never started' };
const machineLost: Judgement = { state: 'lost', reason: machineLostReason };

export function judgeMachine({ state, reason, neverStarted: never, yields }: MachineFacts): Judgement {
  if (never) return neverStarted;
  if (state === 'lost') return { state: 'lost', reason };
  if (state === 'suspect') return { state: 'late', reason };
  if (yields && state === 'ready') return { state: 'ok', reason: `gives its GPUs to their owner: ${yields}` };
  return { state: 'ok', reason: state === 'ready' ? '' : `${state}${reason === '' ? '' : `: ${reason}`}` };
}

export interface WorkerFacts extends MachineFacts {
  /** Since when work waits for it or is in its hands; null: there is none. */
  workSince: number | null;
  /** When it last completed something, or began to poll anew. */
  progressAt: number | null;
}

/** A call may take minutes; a worker that completes none for so long while work waits is late, then failing. */
const workerLateSeconds = 180;
const workerFailingSeconds = 600;

/** Progress, not polling: a worker that asks for work and completes none of it looks alive to its lease. */
export function judgeWorker(facts: WorkerFacts, now: number): Judgement {
  if (facts.neverStarted) return neverStarted;
  if (facts.state === 'lost') return machineLost;
  if (facts.state === 'draining' || facts.state === 'drained' || facts.workSince === null) return ok;
  const since = Math.max(facts.workSince, facts.progressAt ?? 0);
  const waits = now - since;
  if (waits <= workerLateSeconds) return ok;
  return {
    state: waits > workerFailingSeconds ? 'failing' : 'late',
    reason: `work waits for it, and it has completed nothing since ${minute(since)}`,
  };
}

/** The relay looks every 10 s at the latest. */
const intentLateSeconds = 60;
const intentFailingSeconds = 300;

/** The workers of the coordination queue together: whether what was asked for is started. */
export function judgeCoordination(oldestIntentAt: number | null, now: number): Judgement {
  const waits = oldestIntentAt === null ? 0 : now - oldestIntentAt;
  if (oldestIntentAt === null || waits <= intentLateSeconds) return ok;
  return {
    state: waits > intentFailingSeconds ? 'failing' : 'late',
    reason: `what was asked for at ${minute(oldestIntentAt)} has not been started`,
  };
}

export interface ModelServerFacts extends MachineFacts {
  runsAs: RunsAs;
  up: boolean;
  missingModels: readonly string[];
}

export function judgeModelServer(facts: ModelServerFacts): Judgement {
  if (facts.runsAs === 'simulated')
    return { state: 'not_set_up', reason: 'simulated: the machine has no model server' };
  if (facts.neverStarted) return neverStarted;
  if (facts.state === 'lost') return machineLost;
  if (facts.state === 'draining' || facts.state === 'drained') return ok;
  if (!facts.up) return { state: 'failing', reason: 'it does not answer' };
  if (facts.missingModels.length > 0) return { state: 'failing', reason: `it lacks ${facts.missingModels.join(', ')}` };
  return ok;
}

export interface DiskFacts extends MachineFacts {
  /** Of the data folder's disk, 0 to 1; null: not told. */
  free: number | null;
  /** What it counts as now: to come out of a state it needs more room than kept it from going in. */
  before: HealthState | undefined;
}

export const diskLateBelow = 0.1;
export const diskFailingBelow = 0.05;
export const diskBackAbove = 0.02;

export function judgeDisk(facts: DiskFacts): Judgement {
  if (facts.neverStarted) return neverStarted;
  if (facts.state === 'lost') return machineLost;
  const { free, before } = facts;
  if (free === null) return { state: 'not_set_up', reason: 'its worker has not told how much is free' };
  const failing = free < diskFailingBelow + (before === 'failing' ? diskBackAbove : 0);
  const late = free < diskLateBelow + (before === 'late' || before === 'failing' ? diskBackAbove : 0);
  if (!failing && !late) return ok;
  const limit = failing ? diskFailingBelow : diskLateBelow;
  return {
    state: failing ? 'failing' : 'late',
    reason: `${Math.floor(free * 100)} % of its disk is free, and it should be ${Math.round(limit * 100)} % at least`,
  };
}

export interface ScheduleFacts {
  /** Not there at all though the fleet needs it. */
  missing: boolean;
  paused: boolean;
  note: string;
  /** Its last action, its next one and the one after that, where they are known. */
  lastAt: number | null;
  nextAt: number | null;
  afterNextAt: number | null;
  /** How what it started last came out, the newest first; what runs, or was canceled, is not among them. */
  ends: ReadonlyArray<'done' | 'failed'>;
  /** Of the newest that failed. */
  lastFailure: string;
}

/** An action that is due may be so late: Temporal spreads what falls on one moment, and makes up for what it slept through. */
const scheduleLateSeconds = 60;
const scheduleFailingSeconds = 600;
/** So many starts in a row that failed: it acts, and nothing comes of it. */
const startsUntilFailing = 3;

export function judgeSchedule(facts: ScheduleFacts, now: number): Judgement {
  if (facts.missing)
    return { state: 'lost', reason: 'Temporal does not have it; a worker makes it again within two minutes' };
  if (facts.paused) return { state: 'late', reason: `paused${facts.note === '' ? '' : `: ${facts.note}`}` };
  const { lastAt, nextAt, afterNextAt, ends } = facts;
  const because = facts.lastFailure === '' ? '' : `: ${facts.lastFailure}`;
  if (nextAt === null) return { state: 'failing', reason: 'Temporal knows of no next action' };
  if (ends.length >= startsUntilFailing && ends.slice(0, startsUntilFailing).every((end) => end === 'failed'))
    return { state: 'failing', reason: `what it started the last ${startsUntilFailing} times failed${because}` };
  const lastFailed: Judgement = { state: 'late', reason: `what it started last failed${because}` };
  const overdue = now - nextAt;
  if (overdue > scheduleLateSeconds)
    return {
      state: overdue > scheduleFailingSeconds ? 'failing' : 'late',
      reason: `it should have acted at ${minute(nextAt)}`,
    };
  const well = ends[0] === 'failed' ? lastFailed : ok;
  if (lastAt === null || afterNextAt === null) return well;
  const period = afterNextAt - nextAt;
  const gap = nextAt - lastAt - period;
  if (gap <= Math.max(600, 0.75 * period)) return well;
  return {
    state: gap > Math.max(3600, 2.5 * period) ? 'failing' : 'late',
    reason: `it last acted at ${minute(lastAt)} and left out what was due since: what it starts is still running, or nothing could start it`,
  };
}

export interface ChannelFacts {
  stopped: boolean;
  stopReason: string;
  /** How its last posts came out, the newest first. */
  ends: readonly string[];
  lastReason: string;
  /** Since when what should have left by it is tried, or waits without a try; null: nothing does. */
  waitingSince: number | null;
  /** How its last try ended. */
  waitingReason: string;
}

const postsUntilFailing = 3;
/** Tries go on for a day: until then no post has failed, and nothing comes out either. */
const postLateSeconds = 900;
const postFailingSeconds = 7_200;

export function judgeChannel(facts: ChannelFacts, now: number): Judgement {
  const { stopped, stopReason, ends, lastReason, waitingSince, waitingReason } = facts;
  const because = lastReason === '' ? '' : `: ${lastReason}`;
  if (stopped) return { state: 'failing', reason: `stopped${stopReason === '' ? '' : `: ${stopReason}`}` };
  if (ends.length >= postsUntilFailing && ends.every((end) => end === 'failed'))
    return { state: 'failing', reason: `its last ${postsUntilFailing} posts failed${because}` };
  const waits = waitingSince === null ? 0 : now - waitingSince;
  if (waitingSince !== null && waits > postLateSeconds)
    return {
      state: waits > postFailingSeconds ? 'failing' : 'late',
      reason: `what should have left since ${minute(waitingSince)} has not${waitingReason === '' ? '' : `: ${waitingReason}`}`,
    };
  if (ends.includes('unconfirmed'))
    return { state: 'late', reason: 'nobody knows whether one of its last posts came out' };
  if (ends[0] === 'failed') return { state: 'late', reason: `its last post failed${because}` };
  return ok;
}

export interface ServiceFacts {
  state: ServiceState;
  reason: string;
  required: boolean;
  /** null: the plan puts it nowhere, or there is none yet. */
  machineState: MachineState | null;
}

export function judgeService({ state, reason, required, machineState }: ServiceFacts): Judgement {
  if (machineState === 'lost') return machineLost;
  if (state === 'up') return ok;
  if (state === 'down') return { state: required ? 'failing' : 'late', reason };
  if (state === 'unknown')
    return { state: 'not_set_up', reason: reason === '' ? 'nothing has looked at it yet' : reason };
  return { state: 'ok', reason: reason === '' ? state : `${state}: ${reason}` };
}

export interface BackupFacts {
  /** When the first one was begun; null: none was. */
  firstAt: number | null;
  /** Of when the newest one is that was done; null: none was. */
  doneAt: number | null;
  /** Why the last one failed; null: it did not. */
  failed: string | null;
  /** Why the second copy of the newest was not made; empty: it was, or none is asked for. */
  copyReason: string;
  /** Why the last try to restore one failed; null: it did not, or nobody has tried. */
  drillFailed: string | null;
}

/** One is made every day. */
const backupLateSeconds = 36 * 3600;
const backupFailingSeconds = 72 * 3600;

export function judgeBackup(facts: BackupFacts, now: number): Judgement {
  const { firstAt, doneAt, failed, copyReason, drillFailed } = facts;
  if (firstAt === null) return { state: 'not_set_up', reason: 'none was made yet: soulfra backup' };
  const age = now - (doneAt ?? firstAt);
  const because = failed === null ? '' : `; the last one failed: ${failed}`;
  if (age > backupLateSeconds) {
    const last = doneAt === null ? 'none has succeeded yet' : `the last that succeeded is of ${minute(doneAt)}`;
    return { state: age > backupFailingSeconds ? 'failing' : 'late', reason: `${last}${because}` };
  }
  if (drillFailed !== null) return { state: 'failing', reason: `it could not be restored: ${drillFailed}` };
  if (failed !== null) return { state: 'late', reason: `the last one failed: ${failed}` };
  if (copyReason !== '') return { state: 'late', reason: `the second copy was not made: ${copyReason}` };
  return ok;
}

export interface ArchiveFacts {
  /** When changes last left, or Postgres began, whichever is later. */
  lastAt: number;
  /** Name of the file of changes that was refused since; null: none. */
  refused: string | null;
}

/** A file of changes leaves every minute: what has not left goes with the disk. */
const archiveLateSeconds = 5 * 60;
const archiveFailingSeconds = 30 * 60;

export function judgeArchive({ lastAt, refused }: ArchiveFacts, now: number): Judgement {
  const age = now - lastAt;
  if (age <= archiveLateSeconds) return ok;
  const because = refused === null ? '' : `; ${refused} was refused, the log of Postgres says why`;
  return {
    state: age > archiveFailingSeconds ? 'failing' : 'late',
    reason: `changes last left for the archive at ${minute(lastAt)}: a lost disk loses what came since${because}`,
  };
}

export interface TokenFacts {
  name: string;
  endsAt: number;
}

/** A week is time enough to make another one and put it where this one is used. */
export const tokenWarningSeconds = 7 * 86_400;

/** Of a token that is in use and ends soon, or has just ended. */
export function judgeToken({ name, endsAt }: TokenFacts, now: number): Judgement {
  const called = name === '' ? '' : `${name} `;
  return endsAt > now
    ? { state: 'late', reason: `${called}ends ${minute(endsAt)}` }
    : { state: 'failing', reason: `${called}has ended ${minute(endsAt)}; who calls with it is refused` };
}

export interface MirrorFacts {
  target: MirrorTarget;
  everySeconds: number;
  /** When the first copy was begun; null: none was. */
  firstAt: number | null;
  /** Of when the newest one is that was read back; null: none was. */
  doneAt: number | null;
  /** Why the last one failed; null: it did not. */
  failed: string | null;
}

/** A copy takes its time, and one that was missed is no fault yet. */
const mirrorGraceSeconds = 15 * 60;

export function judgeMirror({ everySeconds, firstAt, doneAt, failed }: MirrorFacts, now: number): Judgement {
  if (firstAt === null) return { state: 'not_set_up', reason: 'nothing was mirrored yet: soulfra mirror run' };
  const age = now - (doneAt ?? firstAt);
  const because = failed === null ? '' : `; the last one failed: ${failed}`;
  if (age > 2 * everySeconds + mirrorGraceSeconds) {
    const last = doneAt === null ? 'no copy has succeeded yet' : `the last copy that succeeded is of ${minute(doneAt)}`;
    return { state: age > 8 * everySeconds + mirrorGraceSeconds ? 'failing' : 'late', reason: `${last}${because}` };
  }
  if (failed !== null) return { state: 'late', reason: `the last copy failed: ${failed}` };
  return ok;
}

export interface LedgerFacts {
  /** When its books were opened; null: nobody has an account. */
  openedAt: number | null;
  reconciledAt: number | null;
  discrepancies: number;
}

/** The books are passed over every hour. */
const ledgerLateSeconds = 3 * 3600;
const ledgerFailingSeconds = 24 * 3600;

export function judgeLedger({ openedAt, reconciledAt, discrepancies }: LedgerFacts, now: number): Judgement {
  if (openedAt === null) return { state: 'not_set_up', reason: 'nobody has an account yet' };
  if (discrepancies > 0)
    return {
      state: 'failing',
      reason: `the last pass over the books found ${discrepancies} places that do not add up`,
    };
  const since = reconciledAt ?? openedAt;
  const waits = now - since;
  if (waits <= ledgerLateSeconds) return ok;
  return {
    state: waits > ledgerFailingSeconds ? 'failing' : 'late',
    reason: `the books have not been passed over since ${minute(since)}`,
  };
}

export interface CertificateFacts {
  kind: CertificateKind;
  issuedAt: number;
  notAfter: number;
}

const daySeconds = 86_400;
/** Of an authority: whoever goes by it has to come over to the next one first. */
const authorityLateSeconds = 365 * daySeconds;
const authorityFailingSeconds = 120 * daySeconds;

/** A machine renews its certificate at two thirds of its life, the edge its own: what is far beyond that was not renewed. */
export function judgeCertificate({ kind, issuedAt, notAfter }: CertificateFacts, now: number): Judgement {
  const left = notAfter - now;
  if (left <= 0) return { state: 'failing', reason: `it ran out at ${minute(notAfter)}` };
  const life = notAfter - issuedAt;
  const [late, failing] =
    kind === 'authority' ? [authorityLateSeconds, authorityFailingSeconds] : [0.2 * life, 0.05 * life];
  if (left > late) return ok;
  const mend = kind === 'authority' ? 'soulfra tls rotate-ca' : 'it should have been renewed by itself';
  return { state: left > failing ? 'late' : 'failing', reason: `it runs out at ${minute(notAfter)}: ${mend}` };
}

/** Nothing of ours is encrypted by certificates. */
export const noCertificates: Judgement = {
  state: 'not_set_up',
  reason: 'no box has been invited: nothing listens beyond this host',
};

/** To the minute, so that a reason stands still. */
function minute(seconds: number): string {
  return `${new Date(seconds * 1000).toISOString().slice(0, 16)}Z`;
}
