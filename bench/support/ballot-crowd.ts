import { setTimeout as pause } from 'node:timers/promises';

export interface CrowdRun {
  url: string;
  token: string;
  ballotId: string;
  voters: readonly string[];
  /** Milliseconds between two votes of a voter, who goes on until the ballot takes none. */
  pauseMs: number;
  onAnswer: () => void;
}

/** What one voter knows of its vote. */
export interface VoterKnows {
  /** The last choice that was answered with 200. */
  acknowledged: number | undefined;
  /** Choices sent since then of which nobody ever said whether they were taken. */
  inDoubt: Set<number>;
}

const patienceMs = 180_000;

/** All voters at once, each with one request in flight, changing its vote until the ballot takes no more. What breaks off is sent again. */
export async function voteAll(run: CrowdRun): Promise<Map<string, VoterKnows>> {
  const known = new Map<string, VoterKnows>();
  await Promise.all(
    run.voters.map(async (voter, i) => {
      const knows: VoterKnows = { acknowledged: undefined, inDoubt: new Set() };
      known.set(voter, knows);
      for (let turn = 0; ; turn += 1) {
        const choice = 1 + ((i + turn) % 3);
        const taken = await say(run, voter, choice, knows);
        if (!taken) return;
        run.onAnswer();
        await pause(run.pauseMs);
      }
    }),
  );
  return known;
}

/** @returns false once the ballot takes no vote */
async function say(run: CrowdRun, as: string, choice: number, knows: VoterKnows): Promise<boolean> {
  const until = Date.now() + patienceMs;
  while (Date.now() < until) {
    knows.inDoubt.add(choice);
    const answer = await fetch(`${run.url}/v1/ballots/${run.ballotId}/vote`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${run.token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ as, choice }),
      signal: AbortSignal.timeout(15_000),
    }).catch(() => undefined);
    const status = answer?.status;
    await answer?.arrayBuffer().catch(() => undefined);
    if (status === 200) {
      knows.acknowledged = choice;
      knows.inDoubt.clear();
      return true;
    }
    if (status === 409) return false;
    if (status !== undefined && status < 500) throw new Error(`a vote of ${as} was answered with ${status}`);
    await pause(100);
  }
  throw new Error(`nobody answered ${as} for ${patienceMs / 1000} s`);
}
