import { badInput } from './failures.ts';
import type { Would } from './licenses.ts';
import { plain } from './output.ts';

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

/** As it stands in a list of votes: options by their places. @param options given, they are named, too */
export function choiceWords(choice: unknown, options: readonly string[] = []): string {
  if (choice === null) return 'abstains';
  const named = (option: number | string) => {
    const words = options[Number(option) - 1];
    return words === undefined ? String(option) : `${option} “${plain(words)}”`;
  };
  if (typeof choice === 'number') return `option ${named(choice)}`;
  if (Array.isArray(choice)) return `options ${choice.map((option) => named(option as number)).join(', ')}`;
  return `shares ${Object.entries(choice as Record<string, number>)
    .map(([option, share]) => `${named(option)}=${share}`)
    .join(', ')}`;
}

/** A vote as somebody writes it, `2`, `1,3`, `1=60,2=40`, or with the words of options in place of numbers, as its method takes it. */
export function choiceOf(written: string, { method, options }: Pick<Ballot, 'method' | 'options'>): unknown {
  if (written === 'abstain') return null;
  // Words may have commas and equals signs of their own.
  const whole = optionNamed(written, options);
  const parts = whole === undefined ? written.split(',').map((part) => part.trim()) : [];
  const shares = parts.map((part) => /^(.+)=\s*(\d+)$/s.exec(part));
  if (shares.length > 0 && shares.every((share) => share !== null))
    return Object.fromEntries(shares.map(([, option, share]) => [placeOf(option!, options), Number(share)]));
  const places = whole === undefined ? parts.map((part) => placeOf(part, options)) : [whole];
  return method === 'single' && places.length === 1 ? places[0] : places;
}

function placeOf(written: string, options: readonly string[]): number {
  const place = optionNamed(written, options);
  if (place !== undefined) return place;
  const known = options.map((option, i) => `${i + 1} “${plain(option)}”`).join(', ');
  throw badInput(
    `${plain(written)} is none of the options.`,
    `They are ${known}; write abstain, 2, 1,3 or 1=60,2=40, or their words.`,
  );
}

/** From 1 on; undefined: no option is meant. Its words in any case, unless two differ by that alone. */
function optionNamed(written: string, options: readonly string[]): number | undefined {
  const words = written.trim();
  const same = (one: string) => one.localeCompare(words, undefined, { sensitivity: 'accent' }) === 0;
  const exact = options.indexOf(words);
  const alike = options.flatMap((option, i) => (same(option) ? [i] : []));
  const named = exact >= 0 ? exact : alike.length === 1 ? alike[0] : undefined;
  const place =
    /^\d{1,9}$/.test(words) && Number(words) >= 1 && Number(words) <= options.length ? Number(words) : undefined;
  if (place !== undefined && named !== undefined && named + 1 !== place)
    throw badInput(
      `${words} is the place of “${plain(options[place - 1]!)}” and the words of option ${named + 1}.`,
      'Write the words of the one, or the place of the other.',
    );
  return place ?? (named === undefined ? undefined : named + 1);
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
