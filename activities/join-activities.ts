/** All of these tuples' members at once. */
type Joined<Parts extends readonly object[]> = Parts extends readonly [
  infer First,
  ...infer Rest extends readonly object[],
]
  ? First & Joined<Rest>
  : unknown;

/**
 * Activities of several nouns as one worker's. A worker knows an activity by its name alone: of two that share one it would run
 * the last for both workflows, and nobody would be told.
 * @throws for a name that two parts have
 */
export function joinActivities<const Parts extends readonly object[]>(...parts: Parts): Joined<Parts> {
  const joined: Record<string, unknown> = {};
  for (const part of parts) {
    for (const [name, activity] of Object.entries(part)) {
      if (name in joined) throw new Error(`two activities are called ${name}: give one of them a name of its own`);
      joined[name] = activity;
    }
  }
  return joined as Joined<Parts>;
}
