import { isShares } from './ballot-choices.ts';
import type { Count } from './tallies.ts';

/** Single choice and approval: each option that is named has the whole weight. */
export function countChosen(options: number): Count {
  const scores = Array.from({ length: options }, () => 0);
  return {
    add({ weight, choice }) {
      if (isShares(choice)) throw new TypeError('shares are not counted by naming options');
      for (const option of typeof choice === 'number' ? [choice] : choice) scores[option - 1]! += weight;
    },
    result: (cast) => ({ scores, base: cast, leader: leaderOf(scores), rounds: [] }),
  };
}

/** A micro-ego has so many grains: shares of a weight are cut to whole grains, so that their sum knows no order. */
const grainBits = 32;
const grains = 1n << BigInt(grainBits);

/**
 * Weighted and quadratic: a vote divides its weight by its shares.
 *
 * quadratic (snapshot.js src/voting/quadratic.ts, with a lineage in place of a voter):
 * `s_c = (Σ_lineage √(Σ_v share_vc · weight_v))²`, then rescaled so that all scores add up to the weight that was cast, and a quorum
 * keeps its meaning. Members of one lineage come to the same as one of them with all their weight, so splitting gains nothing;
 * cut to grains, the parts are never more than the whole.
 */
export function countDivided(options: number, by: 'sum' | 'root'): Count {
  const lineages = new Map<string, bigint[]>();
  return {
    add({ lineageId, weight, choice }) {
      if (!isShares(choice)) throw new TypeError('only shares divide a weight');
      const key = by === 'root' ? lineageId : '';
      let parts = lineages.get(key);
      if (parts === undefined) {
        parts = Array.from({ length: options }, () => 0n);
        lineages.set(key, parts);
      }
      let total = 0;
      for (const option in choice) total += choice[option]!;
      const whole = BigInt(weight) * grains;
      for (const option in choice) {
        const at = Number(option) - 1;
        parts[at] = parts[at]! + (whole * BigInt(choice[option]!)) / BigInt(total);
      }
    },
    result(cast) {
      const scores = Array.from({ length: options }, (_, at) => {
        const parts = [...lineages.values()].map((lineage) => Number(lineage[at]!) / 2 ** grainBits);
        return by === 'root' ? squareOfRoots(parts) : (parts[0] ?? 0);
      });
      const rescaled = by === 'root' ? rescale(scores, cast) : scores;
      return { scores: rescaled, base: cast, leader: leaderOf(rescaled), rounds: [] };
    },
  };
}

/** IEEE 754 rounds a root to the last bit, so it is the same on every machine; the order of adding is made the same here. */
function squareOfRoots(parts: readonly number[]): number {
  const roots = Float64Array.from(parts, Math.sqrt).sort();
  let sum = 0;
  for (const root of roots) sum += root;
  return sum * sum;
}

function rescale(scores: readonly number[], to: number): number[] {
  const sum = Float64Array.from(scores)
    .sort()
    .reduce((all, score) => all + score, 0);
  return sum === 0 ? [...scores] : scores.map((score) => (score * to) / sum);
}

/** The option that is ahead of every other; two that are level lead nothing. */
function leaderOf(scores: readonly number[]): number | null {
  const most = Math.max(...scores);
  if (most === 0 || scores.filter((score) => score === most).length > 1) return null;
  return scores.indexOf(most) + 1;
}
