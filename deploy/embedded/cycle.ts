import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiClient } from './api-client.ts';
import type { Screen } from './screen.ts';

export interface Sweep {
  id: string;
  state: 'running' | 'done' | 'canceled';
  total: number;
  counts: Record<'queued' | 'running' | 'parked' | 'done' | 'empty' | 'failed' | 'canceled', number>;
  /** Agents whose run is done. */
  reflected: number;
  degraded: number;
  /** From its start to its end, also where the two lie in different starts of ours. */
  seconds: number;
  /** Agents reflected on each machine. */
  byMachine: Record<string, number>;
  /** Share of workflow tasks each machine answered. */
  coordinationShare?: Record<string, number>;
}

/** What `--once --json` prints last. */
export interface CycleFigures {
  agents: number;
  reflections: number;
  failed: number;
  degraded: number;
  seconds: number;
  machines: Record<string, number>;
  coordination_share: Record<string, number>;
}

/** One reflection of every agent, due or not, watched to its end. The same `key` names the same cycle. */
export async function runCycle(api: ApiClient, screen: Screen, key?: string): Promise<CycleFigures> {
  const step = screen.step('Reflections');
  let { id } = await api.post<{ id: string }>('/sweeps', { trigger: 'call', agents: 'all' }, key);
  for (;;) {
    const sweep = await api.get<Sweep>(`/sweeps/${encodeURIComponent(id)}`);
    // Until its first activity has written the row, a sweep goes by the id of its workflow.
    id = sweep.id;
    const { done, empty, failed, canceled, parked } = sweep.counts;
    const ended = done + empty + failed + canceled;
    if (sweep.state !== 'running') break;
    step.progress(
      `${ended}/${sweep.total}${failed ? ` · ${failed} failed` : ''}${parked ? ` · ${parked} parked` : ''}`,
      sweep.total ? ended / sweep.total : 0,
    );
    await sleep(500);
  }
  const sweep = await api.get<Sweep>(`/sweeps/${id}?include=coordinationShare`);
  const { failed } = sweep.counts;
  const seconds = Math.round(sweep.seconds * 100) / 100;
  step.done(`${sweep.reflected}/${sweep.total} · ${failed} failed · ${seconds.toFixed(1)} s`);
  return {
    agents: sweep.total,
    reflections: sweep.reflected,
    failed,
    degraded: sweep.degraded,
    seconds,
    machines: sweep.byMachine,
    coordination_share: sweep.coordinationShare ?? {},
  };
}
