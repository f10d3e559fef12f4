import { Dialog as BaseDialog } from '@base-ui/react/dialog';
import type { ReactNode } from 'react';

interface Props {
  title: string;
  isOpen: boolean;
  onClose: () => void;
  /** Buttons at its end. */
  acts?: ReactNode;
  children: ReactNode;
}

/** Asks or shows something over the view; Escape and a press outside close it, and focus returns to where it was. */
export function Dialog({ title, isOpen, onClose, acts, children }: Props) {
  return (
    <BaseDialog.Root open={isOpen} onOpenChange={(open) => !open && onClose()}>
      <BaseDialog.Portal>
        <BaseDialog.Backdrop className="backdrop" />
        <BaseDialog.Popup className="dialog">
          <BaseDialog.Title>{title}</BaseDialog.Title>
          {children}
          {acts && <div className="dialog-acts">{acts}</div>}
        </BaseDialog.Popup>
      </BaseDialog.Portal>
    </BaseDialog.Root>
  );
}
