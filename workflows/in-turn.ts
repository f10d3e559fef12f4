/**
 * Local activities of one workflow, one after the other. Two in flight end one by one while they run, but both at once where a worker
 * reads the history again after a crash: code that looks again after each end would look once where the history has two looks,
 * and the workflow would stand still for good.
 */
export function inTurn<Activities extends object>(activities: Activities): Activities {
  let last: Promise<unknown> = Promise.resolve();
  return new Proxy(activities, {
    get(target, name, receiver) {
      const activity: unknown = Reflect.get(target, name, receiver);
      if (typeof activity !== 'function') return activity;
      return (...input: unknown[]) => {
        const ended = last.then(() => activity(...input) as Promise<unknown>);
        last = ended.catch(() => undefined);
        return ended;
      };
    },
  });
}
