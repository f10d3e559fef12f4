export interface SignInLink {
  once?: string;
  invite?: string;
}

/** The secret of a link is in the fragment, so it never reaches a server's log; it leaves the address bar at once. */
export function takeLink(): SignInLink {
  const given = new URLSearchParams(location.hash.slice(1));
  const once = given.get('once');
  const invite = given.get('invite');
  if (once === null && invite === null) return {};
  history.replaceState(null, '', location.pathname + location.search);
  return { ...(once === null ? {} : { once }), ...(invite === null ? {} : { invite }) };
}
