import type { PointKind } from './points.ts';

/** Names of tokens.css by what they colour. */
export const pointTokens: Record<PointKind, string> = {
  agent: '--accent',
  observation: '--ink-soft',
  reflection: '--info',
  whisper: '--warn',
  conversation: '--good',
  reply: '--good',
  drop: '--bad',
  vote: '--line-strong',
  sale: '--line-strong',
};
export const arcTokens = { same_event: '--info', echo: '--good', contradiction: '--bad' } as const;
const others = ['--surface', '--line', '--ink', '--accent'] as const;

export type Colours = ReadonlyMap<string, string>;

/** The colours that the tokens have now, as `rgb(…)`: by day or by night is known to the browser alone. */
export function coloursNow(within: Element): Colours {
  const probe = document.createElement('i');
  probe.hidden = true;
  within.append(probe);
  const tokens = new Set([...Object.values(pointTokens), ...Object.values(arcTokens), ...others]);
  const colours = new Map<string, string>();
  for (const token of tokens) {
    probe.style.color = `var(${token})`;
    colours.set(token, getComputedStyle(probe).color);
  }
  probe.remove();
  return colours;
}
