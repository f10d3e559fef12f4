import { Dialog as BaseDialog } from '@base-ui/react/dialog';
import type { ReactNode } from 'react';
import { text } from '../text.ts';
import { Button } from './button.tsx';

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

interface ConfirmProps extends Omit<Props, 'acts' | 'isOpen'> {
  isOpen?: boolean;
  /** What the button that does it says. */
  act: string;
  kind?: 'main' | 'danger';
  disabled?: boolean;
  /** While it is being done the dialog stays: who is gone does not see what came of it. */
  isPending?: boolean;
  onAct: () => void;
}

/** A dialog with one thing to do, and the way back beside it. */
export function ConfirmDialog({
  isOpen = true,
  act,
  kind = 'main',
  disabled = false,
  isPending = false,
  onAct,
  ...dialog
}: ConfirmProps) {
  return (
    <Dialog
      {...dialog}
      isOpen={isOpen}
      onClose={() => !isPending && dialog.onClose()}
      acts={
        <>
          <Button disabled={isPending} onClick={dialog.onClose}>
            {text.app.close}
          </Button>
          <Button kind={kind} disabled={disabled || isPending} onClick={onAct}>
            {act}
          </Button>
        </>
      }
    />
  );
}
