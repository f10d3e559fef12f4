import {
  ActivityFailure,
  isCancellation,
  log,
  patched,
  proxyActivities,
  setCurrentDetails,
} from '@temporalio/workflow';
import type { EmbeddingActivities } from '../activities/embeddings.ts';
import type { GlobeActivities } from '../activities/globe.ts';
import { callPeriod } from '../domain/ids.ts';
import { scheduledPeriod } from './scheduled-period.ts';

export interface PlaceGlobeInput {
  /** `call-<requestId>`, or `first` after a sweep or an embedding in a fleet without one; a scheduled run takes the scheduled time instead. */
  period?: string;
}
export interface PlaceGlobeResult {
  agents: number;
  memories: number;
  unchanged: boolean;
}

const { placeGlobePoints } = proxyActivities<GlobeActivities>({
  startToCloseTimeout: '10 minutes',
  heartbeatTimeout: '30 seconds',
  // Then the run fails, and the next period begins anew: a Schedule starts none while one is open.
  retry: { maximumInterval: '1 minute', maximumAttempts: 12 },
  summary: 'places agents and memories by what they say',
});

/** Texts an activity: at 20 ms each it ends well within its time. */
const most = 2_000;
const { embedMissing } = proxyActivities<EmbeddingActivities>({
  startToCloseTimeout: '10 minutes',
  // It beats every second, also while a model thinks.
  heartbeatTimeout: '20 seconds',
  // Whoever asked waits for the globe: a model that is away leaves it to what has vectors.
  retry: { maximumInterval: '10 seconds', maximumAttempts: 3 },
  summary: 'the next memories without a vector of the model in force',
});

/**
 * Places agents and memories on the globe by what they say, each near to where it stood. Asked for by hand it is of all that is
 * remembered by now, also of what no Schedule has embedded yet.
 */
export async function placeGlobe({ period }: PlaceGlobeInput): Promise<PlaceGlobeResult> {
  if (period?.startsWith(callPeriod('')) && patched('vectors-first')) await embedAll();
  const placed = await placeGlobePoints({ period: period ?? scheduledPeriod() });
  setCurrentDetails(
    placed.unchanged ? 'nothing is new' : `${placed.memories} memories and ${placed.agents} agents placed`,
  );
  return placed;
}

async function embedAll(): Promise<void> {
  try {
    for (let total = 0, embedded = most; embedded >= most; ) {
      ({ embedded } = await embedMissing({ most }));
      total += embedded;
      setCurrentDetails(`${total} memories embedded`);
    }
  } catch (err) {
    if (isCancellation(err) || !(err instanceof ActivityFailure)) throw err;
    log.warn('placed without the vectors that are missing', { reason: err.cause?.message });
  }
}
