import { type StateName, stateWords } from '../texts/states.ts';

export type Tone = 'plain' | 'good' | 'warn' | 'bad' | 'info';

const tones: Record<string, Tone> = {
  ...all(
    'good',
    'ready active live up ok done answered completed published passed carried_out accepted open calm won paid sent',
  ),
  ...all('info', 'running queued publishing scheduled received answering starting pending discussion applying'),
  ...all(
    'warn',
    'suspect draining drained parked paused awaiting_approval unconfirmed drifting late degraded partly_published suspended stopped',
  ),
  ...all('bad', 'lost failed failing refused down estranged revoked rejected effect_failed disputed critical'),
};

function all(tone: Tone, words: string): Record<string, Tone> {
  return Object.fromEntries(words.split(' ').map((word) => [word, tone]));
}

/** The tone of a state's word; the word itself is always shown, too. */
export const toneOf = (state: string): Tone => tones[state] ?? 'plain';

/** A state of a thing, in words. A page of before may not have that of an API that is newer. */
export function StateBadge({ state }: { state: StateName }) {
  const words: Partial<Record<string, string>> = stateWords;
  return <Badge tone={toneOf(state)}>{words[state] ?? state}</Badge>;
}

export function Badge({ tone = 'plain', children }: { tone?: Tone; children: React.ReactNode }) {
  return (
    <span className="badge" data-tone={tone}>
      {children}
    </span>
  );
}
