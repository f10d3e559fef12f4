import type { Would } from './licenses.ts';

export interface Tally {
  scores: number[];
  base: number;
  abstained: number;
  voters: number;
  rounds: Array<{ scores: number[]; eliminated: number | null; exhausted: number }>;
}
export interface Ballot extends Would {
  id: string;
  authorId: string;
  title: string;
  text: string;
  method: string;
  options: string[];
  effect: { kind: string } & Record<string, unknown>;
  guildId: string | null;
  state: string;
  reasonCode: string;
  reason: string;
  quorum: number;
  threshold: number;
  createdAt: string;
  opensAt: string;
  closesAt: string | null;
  extendedAt: string | null;
  weight: number | null;
  present: number;
  tally: Tally | null;
  winner: number | null;
}
export interface Vote extends Would {
  voterId: string;
  lineageId: string;
  weight: number;
  asked: boolean;
  follows: string | null;
  hasVoted: boolean;
  choice: unknown;
  reason: string;
  origin: string | null;
}

export const ballotPath = (id: string, below = '') => `/ballots/${encodeURIComponent(id)}${below}`;

export function choiceWords(choice: unknown): string {
  if (choice === null) return 'abstains';
  return typeof choice === 'number'
    ? `option ${choice}`
    : Array.isArray(choice)
      ? `options ${choice.join(', ')}`
      : `shares ${Object.entries(choice as Record<string, number>)
          .map(([option, share]) => `${option}=${share}`)
          .join(', ')}`;
}

/** `guild_rule invite=elder`: what is carried out, and of what. */
export function effectWords({ effect: { kind, rule, ...of }, guildId }: Pick<Ballot, 'effect' | 'guildId'>): string {
  const ruled = rule === undefined ? [] : [`${(rule as Rule).name}=${(rule as Rule).value}`];
  const words = [kind, ...ruled, ...Object.entries(of).map(([name, value]) => `${name} ${String(value)}`)];
  return `${words.join(' ')}${guildId === null ? '' : `, in ${guildId}`}`;
}

interface Rule {
  name: string;
  value: string | number;
}

/** Micro-ego as ego. */
export function ego(micro: number): string {
  return `${(micro / 1_000_000).toFixed(6)} ego`;
}
