import type { NavigationEntry } from '../navigation.ts';
import { Dialog } from '../parts/dialog.tsx';
import { text } from '../text.ts';
import { Entry } from './entry.tsx';

interface Props {
  entries: readonly NavigationEntry[];
  isOpen: boolean;
  onClose: () => void;
}

/** The views that do not stand at the foot of a phone. */
export function MoreViews({ entries, isOpen, onClose }: Props) {
  return (
    <Dialog title={text.app.views} isOpen={isOpen} onClose={onClose}>
      <ul>
        {entries.map((entry) => (
          <li key={entry.to}>
            <Entry entry={entry} className="rail-link" onChosen={onClose} />
          </li>
        ))}
      </ul>
    </Dialog>
  );
}
