import { type ComponentType, useEffect, useState } from 'react';
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
}

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
  failed: (err: Error) =>
    say({
      title: err.message,
      description: err instanceof Problem ? err.mend : '',
      type: 'bad',
      priority: 'high',
      timeout: 12_000,
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

/** The same words in the plainest way, where the region did not load, as without a network. */
function PlainRegion() {
  const [notes, setNotes] = useState<readonly Note[]>([]);
  useEffect(() => takeNotes((note) => setNotes((before) => [...before, note])), []);
  return (
    <div className="toasts">
      {notes.map((note, i) => (
        // oxlint-disable-next-line react/no-array-index-key -- two may say the same, and none changes its place
        <div key={i} className="toast" data-type={note.type} role="alert">
          <h2>{note.title}</h2>
          <Button kind="quiet" onClick={() => setNotes(notes.filter((each) => each !== note))}>
            {text.app.close}
          </Button>
          <p className="soft">{note.description}</p>
        </div>
      ))}
    </div>
  );
}
