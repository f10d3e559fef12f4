/**
 * Shares a costly reading among all who ask for it at the same time: of one key one runs at a time, and who comes meanwhile gets the
 * next one, so that nobody is answered by what was read before they asked.
 */
export function createSharedReadings<Result>() {
  const running = new Map<string, Promise<Result>>();
  const following = new Map<string, Promise<Result>>();

  function start(key: string, read: () => Promise<Result>): Promise<Result> {
    const reading = read().finally(() => {
      if (running.get(key) === reading) running.delete(key);
    });
    running.set(key, reading);
    return reading;
  }

  return function shared(key: string, read: () => Promise<Result>): Promise<Result> {
    const current = running.get(key);
    if (current === undefined) return start(key, read);
    let next = following.get(key);
    if (next === undefined) {
      const go = () => {
        following.delete(key);
        return start(key, read);
      };
      // Whether the one before it failed is no matter of theirs.
      next = current.then(go, go);
      following.set(key, next);
    }
    return next;
  };
}
