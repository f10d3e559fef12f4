import type { JudgementState, Scores } from '../../domain/consistency.ts';
import type { DriftState } from '../../domain/states.ts';
import { driftLimits } from '../../domain/drift.ts';
import type { Executor } from '../database.ts';
import { countOutputs } from '../outputs.ts';
import { iso, type PageRequest } from './page.ts';

export interface DriftRatingView {
  id: string;
  agentId: string;
  period: string;
  state: DriftState;
  drift: number;
  weighted: number;
  z: number | null;
  windowSize: number;
  history: number;
  model: string;
  spaceId: string | null;
  reason: string;
  ratedAt: string;
  /** Null where none was asked for: the agent was calm, or enough others were judged. */
  judgement: JudgementView | null;
}

export interface JudgementView {
  state: JudgementState;
  scores: Scores | null;
  samples: number;
  modelId: string | null;
  promptVersion: string | null;
  tokens: number;
  reason: string;
}

export interface AgentDriftView {
  agentId: string;
  name: string;
  /** Null while there is no rating; `why` says what is missing. */
  state: DriftState | null;
  since: string | null;
  drift: number | null;
  weighted: number | null;
  z: number | null;
  period: string | null;
  ratedAt: string | null;
  why: string;
}

/** Ratings of an agent, the last first. */
export async function listDriftRatings(
  db: Executor,
  page: PageRequest & { agentId: string },
): Promise<DriftRatingView[]> {
  let query = db
    .selectFrom('driftRatings')
    .leftJoin('driftJudgements', 'driftJudgements.ratingId', 'driftRatings.id')
    .select(['id', 'driftRatings.agentId as agentId', 'driftRatings.period as period', 'driftRatings.state as state'])
    .select(['drift', 'weighted', 'z', 'windowSize', 'history', 'model', 'spaceId', 'ratedAt'])
    .select('driftRatings.reason as reason')
    .select(['driftJudgements.state as judged', 'scores', 'samples', 'modelId', 'promptVersion', 'tokens'])
    .select('driftJudgements.reason as judgedReason')
    .where('driftRatings.ownerId', '=', page.ownerId)
    .where('driftRatings.agentId', '=', page.agentId);
  if (page.after !== undefined) query = query.where('id', '<', page.after);
  const rows = await query.orderBy('id', 'desc').limit(page.limit).execute();
  return rows.map(({ judged, scores, samples, modelId, promptVersion, tokens, judgedReason, ...row }) => ({
    ...row,
    state: row.state as DriftState,
    ratedAt: iso(row.ratedAt),
    judgement:
      judged === null
        ? null
        : {
            state: judged as JudgementState,
            scores: scores as unknown as Scores | null,
            samples: samples!,
            modelId,
            promptVersion,
            tokens: tokens!,
            reason: judgedReason!,
          },
  }));
}

/** How living agents stand, by id; those without a rating too, unless a state is asked for. */
export async function listAgentDrift(
  db: Executor,
  page: PageRequest & { state?: DriftState | undefined },
): Promise<AgentDriftView[]> {
  let query = db
    .selectFrom('agents')
    .leftJoin('agentDrift', 'agentDrift.agentId', 'agents.id')
    .leftJoin('driftRatings', 'driftRatings.id', 'agentDrift.ratingId')
    .select(['agents.id as agentId', 'agents.name as name', 'agentDrift.state as state', 'since', 'drift', 'weighted'])
    .select(['z', 'period', 'ratedAt', 'driftRatings.reason as reason'])
    .where('agents.ownerId', '=', page.ownerId)
    .where('agents.state', '<>', 'retired');
  if (page.after !== undefined) query = query.where('agents.id', '>', page.after);
  if (page.state !== undefined) query = query.where('agentDrift.state', '=', page.state);
  const rows = await query.orderBy('agents.id').limit(page.limit).execute();
  const unrated = rows.filter(({ state }) => state === null).map(({ agentId }) => agentId);
  const outputs = await countOutputs(db, unrated);
  return rows.map(({ reason, ...row }) => ({
    ...row,
    state: row.state as DriftState | null,
    since: iso(row.since),
    ratedAt: iso(row.ratedAt),
    why: row.state === null ? unratedReason(outputs.get(row.agentId) ?? 0) : (reason ?? ''),
  }));
}

function unratedReason(outputs: number): string {
  const { leastOutputs } = driftLimits;
  return outputs < leastOutputs
    ? `has said ${outputs} things of its own; a rating takes ${leastOutputs}`
    : 'waits for the next rating';
}
