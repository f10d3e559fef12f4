import { AudioLines } from 'lucide-react';
import { useEffect, useRef, useState } from 'react';
import { keep, kept } from '../kept.ts';
import { Button } from '../parts/button.tsx';
import { useLater } from '../parts/later.ts';
import { text } from '../text.ts';
import './narration-overlay.css';

export const loadNarrator = () => import('./narrator.tsx');

/** The narration, closed until somebody asks for it. */
export function NarrationOverlay() {
  const [isOpen, setOpen] = useState(() => kept('soulfra-narration') === 'open');
  const [narrator, ask] = useLater(loadNarrator);
  const isPressed = useRef(false);
  /** Of the two the one that is there: what opens it, or what closes it. */
  const button = useRef<HTMLButtonElement>(null);
  const turn = (open: boolean) => {
    isPressed.current = true;
    keep('soulfra-narration', open ? 'open' : 'closed');
    setOpen(open);
  };
  useEffect(() => {
    if (isOpen) ask();
  }, [isOpen, ask]);
  // The button that was pressed had the focus, and is gone: it goes to the other one, unless something else has it by now.
  useEffect(() => {
    if (isPressed.current && document.activeElement === document.body) button.current?.focus({ preventScroll: true });
  }, [isOpen, narrator]);
  if (isOpen && narrator) return <narrator.Narrator closeButton={button} onClose={() => turn(false)} />;
  return (
    <Button
      ref={button}
      className="narration-open"
      onClick={() => (isOpen ? ask() : turn(true))}
      aria-label={text.app.narration}
      aria-expanded={false}
    >
      <AudioLines aria-hidden />
    </Button>
  );
}
