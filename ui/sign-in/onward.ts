/**
 * Where somebody was going who had to sign in first: the proxy of a deployment leads them here from Temporal's UI and Grafana, and to
 * these alone anybody is led on.
 * @param search of the address
 */
export function onwardAddress(search: string): string | undefined {
  // All behind it is theirs as it came, with whatever it asks.
  const then = search.startsWith('?then=') ? search.slice('?then='.length) : undefined;
  return then !== undefined && /^\/(?:temporal|grafana)(?:[/?]|$)/.test(then) ? then : undefined;
}
