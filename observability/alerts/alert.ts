import type { RunbookAnchor } from '../runbooks.ts';

/** Series of a promtool test: a selector with exact labels, and its values a minute apart in promtool's notation (`0x10`, `0+5x60`). */
export type Series = Record<string, string>;

/** What makes an alert fire, at this time after the first value, and with which labels of its own. */
export interface Firing {
  when: Series;
  at: string;
  labels: Record<string, string>;
}

export interface Alert {
  /** CamelCase, as Prometheus has it. */
  name: string;
  expr: string;
  /** How long it has to hold; longer than a rolling release where a release can cause it. */
  for: string;
  /** page: a person now. ticket: a person this day. */
  severity: 'page' | 'ticket';
  /** One sentence; `{{ $labels.x }}` stands for a label. */
  summary: string;
  runbook: RunbookAnchor;
  /** Further labels, for routes and inhibition. */
  labels?: Record<string, string>;
  fires: Firing;
  /** Further cases, each with words that follow `fires when`. */
  alsoFires?: ReadonlyArray<Firing & { as: string }>;
  /** What looks alike and must leave it silent. */
  silent: { when: Series; at: string };
}

export interface AlertGroup {
  /** Also the name of its files. */
  name: string;
  alerts: readonly Alert[];
}
