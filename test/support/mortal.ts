/**
 * Every activity of the shipped ones, each able to die once after its work is done, as when the process ends before it can
 * say so: the step is then done a second time.
 */
export function createMortal() {
  /** Activities that die after their next execution; each leaves the set as it does. */
  const dying = new Set<string>();
  /** What happens once, just before an activity begins. */
  const before = new Map<string, () => Promise<unknown>>();
  const mortal = <Activities extends object>(shipped: Activities): Activities =>
    Object.fromEntries(
      Object.entries(shipped).map(([name, activity]) => [
        name,
        async (...args: unknown[]) => {
          const event = before.get(name);
          before.delete(name);
          await event?.();
          const result: unknown = await (activity as (...given: unknown[]) => Promise<unknown>)(...args);
          if (dying.delete(name)) throw new Error(`${name} died after its work was done`);
          return result;
        },
      ]),
    ) as Activities;
  return { dying, before, mortal };
}
