/** Something that rests on others, by keys. */
export interface Claim {
  key: string;
  evidence: readonly string[];
}

export interface SettledClaim {
  /** Index of the claim that was given. */
  claim: number;
  /** What of its evidence is there; empty: it rests on nothing and cannot be kept. */
  evidence: string[];
  missing: string[];
}

/**
 * Puts claims that may rest on each other in an order in which each comes after its evidence, and tells what of the evidence
 * is nowhere. Of claims that rest on each other in a ring, the first one loses what it has in the ring.
 * @param isHere whether something is there already, before any of the claims; keys of claims are unique and not there
 */
export function settleClaims(claims: readonly Claim[], isHere: (key: string) => boolean): SettledClaim[] {
  const places = new Map(claims.map(({ key }, place) => [key, place]));
  const kept = new Set<string>();
  const settled: SettledClaim[] = [];
  const done = new Set<number>();
  const waits = claims.map(
    ({ key, evidence }) => new Set(evidence.filter((on) => on !== key && places.has(on) && !isHere(on))),
  );
  const followers = new Map<string, number[]>();
  for (const [place, wait] of waits.entries()) {
    for (const on of wait) {
      const known = followers.get(on);
      if (known) known.push(place);
      else followers.set(on, [place]);
    }
  }
  const ready = claims.flatMap((_, place) => (waits[place]!.size === 0 ? [place] : []));
  let next = 0;
  let first = 0;
  while (settled.length < claims.length) {
    const place = ready[next] ?? firstWaiting();
    if (next < ready.length) next += 1;
    if (done.has(place)) continue;
    done.add(place);
    const { key, evidence } = claims[place]!;
    const there = evidence.filter((on) => isHere(on) || kept.has(on));
    settled.push({ claim: place, evidence: there, missing: evidence.filter((on) => !there.includes(on)) });
    if (there.length > 0) kept.add(key);
    for (const follower of followers.get(key) ?? []) {
      waits[follower]!.delete(key);
      if (waits[follower]!.size === 0) ready.push(follower);
    }
  }
  return settled;

  function firstWaiting(): number {
    while (done.has(first)) first += 1;
    return first;
  }
}
