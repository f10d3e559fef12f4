import { Toast } from '@base-ui/react/toast';
import { X } from 'lucide-react';
import { useEffect } from 'react';
import { text } from '../text.ts';
import { takeNotes } from './toasts.tsx';

/** Who hears the page is told only what comes into a region that stands already. */
const standsMs = 150;

export function ToastRegion() {
  return (
    <Toast.Provider>
      <Toast.Portal>
        <Toast.Viewport className="toasts">
          <Shown />
        </Toast.Viewport>
      </Toast.Portal>
      <Taken />
    </Toast.Provider>
  );
}

function Taken() {
  const { add } = Toast.useToastManager();
  useEffect(() => {
    let stop = () => {};
    const timer = setTimeout(() => {
      stop = takeNotes(add);
    }, standsMs);
    return () => {
      clearTimeout(timer);
      stop();
    };
  }, [add]);
  return null;
}

function Shown() {
  const { toasts } = Toast.useToastManager();
  return toasts.map((toast) => (
    <Toast.Root key={toast.id} toast={toast} className="toast" data-type={toast.type}>
      <Toast.Title />
      <Toast.Close className="button" data-kind="quiet" aria-label={text.app.close}>
        <X aria-hidden />
      </Toast.Close>
      <Toast.Description className="soft" />
      <Toast.Action className="button" />
    </Toast.Root>
  ));
}
