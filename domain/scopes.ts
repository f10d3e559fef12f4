import { z } from 'zod';

/**
 * The nouns that a token may be cut down to: each route is of one, by its first tag. The list is closed, so that a new noun is
 * thought of here before its first route opens.
 */
export const scopeNouns = [
  'agents',
  'audit',
  'backups',
  'ballots',
  'channels',
  'clusters',
  'codec',
  'drift',
  'drops',
  'events',
  'fleet',
  'gateway',
  'globe',
  'guilds',
  'health',
  'inbox',
  'ledger',
  'licenses',
  'logs',
  'loops',
  'machines',
  'mails',
  'market',
  'memories',
  'messages',
  'mirror',
  'models',
  'payments',
  'readiness',
  'reflections',
  'rollouts',
  'runs',
  'schedules',
  'secrets',
  'services',
  'sign-in',
  'signing-keys',
  'sources',
  'sweeps',
  'threads',
  'users',
  'webhooks',
  'whispers',
  'work',
] as const;
export type ScopeNoun = (typeof scopeNouns)[number];
export type Scope = `${ScopeNoun}:${'read' | 'write'}`;

export const scopes: readonly Scope[] = scopeNouns.flatMap((noun) => [
  `${noun}:read` as const,
  `${noun}:write` as const,
]);

const asScope = (text: string): Scope | undefined => scopes.find((scope) => scope === text);

export const scopeSchema = z
  .string()
  .refine((text) => asScope(text) !== undefined, {
    error: 'must be a noun of the API and what is done with it, such as drops:write or agents:read',
    params: { mend: `The nouns: ${scopeNouns.join(', ')}; then :read or :write, which is read, too.` },
  })
  .transform((text) => asScope(text)!);

const safeMethods = new Set(['GET', 'HEAD', 'OPTIONS']);

/**
 * What a token must have to open a route.
 * @param route.noun its first tag; what it says there is `signing keys`
 * @returns undefined where the noun is none of the list
 */
export function scopeOf(route: { noun: string; methods: readonly string[]; reads: boolean }): Scope | undefined {
  const noun = scopeNouns.find((known) => known === route.noun.replaceAll(' ', '-'));
  if (noun === undefined) return undefined;
  const isRead = route.reads || route.methods.every((method) => safeMethods.has(method));
  return `${noun}:${isRead ? 'read' : 'write'}`;
}

/** Who may write may read it as well. @param held absent: all that its role may */
export function permits(held: readonly string[] | undefined, wanted: Scope): boolean {
  return held === undefined || held.includes(wanted) || held.includes(wanted.replace(/:read$/, ':write'));
}
