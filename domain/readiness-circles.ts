/**
 * Groups of things that reach each other (strongly connected, by Tarjan), each as one way around it where there is a short one.
 * Not by recursion: a chain may be as long as there are things.
 */
export function circlesOf(next: ReadonlyMap<string, readonly string[]>): string[][] {
  const index = new Map<string, number>();
  const low = new Map<string, number>();
  const open: string[] = [];
  const isOpen = new Set<string>();
  const circles: string[][] = [];
  for (const start of next.keys()) {
    if (index.has(start)) continue;
    const work: Array<{ node: string; at: number }> = [{ node: start, at: 0 }];
    while (work.length > 0) {
      const top = work.at(-1)!;
      const { node } = top;
      if (top.at === 0) {
        index.set(node, index.size);
        low.set(node, index.get(node)!);
        open.push(node);
        isOpen.add(node);
      }
      const follower = (next.get(node) ?? [])[top.at];
      top.at += 1;
      if (follower !== undefined) {
        if (!next.has(follower)) continue;
        if (!index.has(follower)) work.push({ node: follower, at: 0 });
        else if (isOpen.has(follower)) low.set(node, Math.min(low.get(node)!, index.get(follower)!));
        continue;
      }
      work.pop();
      const above = work.at(-1)?.node;
      if (above !== undefined) low.set(above, Math.min(low.get(above)!, low.get(node)!));
      if (low.get(node) !== index.get(node)) continue;
      const group = open.splice(open.indexOf(node));
      for (const each of group) isOpen.delete(each);
      if (group.length > 1 || (next.get(node) ?? []).includes(node)) circles.push(wayAround(group, next));
    }
  }
  return circles;
}

/** The shortest way from the first of the group back to itself. */
function wayAround(group: readonly string[], next: ReadonlyMap<string, readonly string[]>): string[] {
  const inside = new Set(group);
  const start = group.toSorted()[0]!;
  const from = new Map<string, string>();
  const queue = [start];
  for (let at = 0; at < queue.length; at++) {
    for (const follower of next.get(queue[at]!) ?? []) {
      if (follower === start) {
        const way: string[] = [];
        for (let node = queue[at]!; node !== start; node = from.get(node)!) way.unshift(node);
        return [start, ...way];
      }
      if (!inside.has(follower) || from.has(follower)) continue;
      from.set(follower, queue[at]!);
      queue.push(follower);
    }
  }
  return [...group];
}
