export interface SignInLink {
  once?: string;
}

/** The secret of a link is in the fragment, so it never reaches a server's log; it leaves the address bar at once. */
export function takeLink(): SignInLink {
  const given = new URLSearchParams(location.hash.slice(1));
  // Invitations that were sent before they had a page of their own.
  if (given.has('invite')) location.replace(`/join${location.hash}`);
  const once = given.get('once');
  if (once === null) return {};
  history.replaceState(null, '', location.pathname + location.search);
  return { once };
}
