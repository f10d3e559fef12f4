/**
 * Where somebody was going who had to sign in first: the proxy of a deployment leads them here from Temporal's UI and Grafana, and to
 * these alone anybody is led on.
 * @param search of the address
 */
export function onwardAddress(search: string): string | undefined {
  const then = new URLSearchParams(search).get('then');
  return then !== null && /^\/(?:temporal|grafana)(?:[/?]|$)/.test(then) ? then : undefined;
}
