import { type ComponentType, useCallback, useEffect, useRef, useState } from 'react';
import { Problem } from '../client.ts';
import { text } from '../text.ts';
import { Button } from './button.tsx';

/** What a toast says. */
interface Note {
  title: string;
  description: string;
  type: 'good' | 'bad';
  priority?: 'high';
  timeout?: number;
  /** A button for what helps. */
  actionProps?: { children: string; onClick: () => void };
}

const bad = { type: 'bad', priority: 'high', timeout: 12_000 } as const;

const waiting: Note[] = [];
let take: ((note: Note) => void) | undefined;
let want: (() => void) | undefined;

/** Shows what waits and what comes; returns how to stop. */
export function takeNotes(by: (note: Note) => void): () => void {
  take = by;
  for (const note of waiting.splice(0)) by(note);
  return () => {
    take = undefined;
  };
}

function say(note: Note): void {
  if (take !== undefined) return take(note);
  waiting.push(note);
  want?.();
}

const toasts = {
  done: (title: string, description = '') => say({ title, description, type: 'good' }),
  /** For `onError` of a write. */
  failed: (err: Error) => say({ ...bad, title: err.message, description: err instanceof Problem ? err.mend : '' }),
  /** A part of the page did not load. Whoever is here loads the page again, not we: what they have typed goes with it. */
  missing: () =>
    say({
      ...bad,
      title: text.states.failed,
      description: text.states.missing,
      actionProps: { children: text.app.reload, onClick: () => location.reload() },
    }),
};

/** Says what an act has come to. */
export const useToasts = () => toasts;

/** Where toasts are shown: loaded when the first one is said, or before that by `loadToasts`. */
export function Toasts() {
  const [Region, setRegion] = useState<ComponentType>();
  useEffect(() => {
    want = () =>
      void import('./toast-region.tsx').then(
        ({ ToastRegion }) => setRegion(() => ToastRegion),
        () => setRegion(() => PlainRegion),
      );
    if (waiting.length > 0) want();
    return () => {
      want = undefined;
    };
  }, []);
  return Region && <Region />;
}

export const loadToasts = () => want?.();

/** As the region does it. */
const mostNotes = 3;
const standsMs = 5_000;

/** The same words in the plainest way, where the region did not load, as without a network. */
function PlainRegion() {
  const [notes, setNotes] = useState<ReadonlyArray<{ key: number; note: Note }>>([]);
  const told = useRef(0);
  const drop = useCallback((key: number) => setNotes((before) => before.filter((each) => each.key !== key)), []);
  useEffect(
    () =>
      takeNotes((note) => {
        told.current += 1;
        const key = told.current;
        setNotes((before) => [...before, { key, note }].slice(-mostNotes));
        setTimeout(() => drop(key), note.timeout ?? standsMs);
      }),
    [drop],
  );
  return (
    <div className="toasts">
      {notes.map(({ key, note: { title, description, type, actionProps } }) => (
        <div key={key} className="toast" data-type={type} role={type === 'bad' ? 'alert' : 'status'}>
          <h2>{title}</h2>
          <Button kind="quiet" onClick={() => drop(key)}>
            {text.app.close}
          </Button>
          <p className="soft">{description}</p>
          {actionProps && <Button {...actionProps} />}
        </div>
      ))}
    </div>
  );
}
