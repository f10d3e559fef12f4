import { AudioLines } from 'lucide-react';
import { useEffect, useState } from 'react';
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
  const turn = (open: boolean) => {
    keep('soulfra-narration', open ? 'open' : 'closed');
    setOpen(open);
  };
  useEffect(() => {
    if (isOpen) ask();
  }, [isOpen, ask]);
  if (isOpen && narrator) return <narrator.Narrator onClose={() => turn(false)} />;
  return (
    <Button className="narration-open" onClick={() => (isOpen ? ask() : turn(true))} aria-label={text.app.narration}>
      <AudioLines aria-hidden />
    </Button>
  );
}
