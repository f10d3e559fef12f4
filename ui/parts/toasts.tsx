import { Toast } from '@base-ui/react/toast';
import { X } from 'lucide-react';
import type { ReactNode } from 'react';
import { Problem } from '../client.ts';
import { text } from '../text.ts';

/** Says what an act has come to: `done` and `failed` of `useToasts`. */
export function Toasts({ children }: { children: ReactNode }) {
  return (
    <Toast.Provider>
      {children}
      <Toast.Portal>
        <Toast.Viewport className="toasts">
          <Shown />
        </Toast.Viewport>
      </Toast.Portal>
    </Toast.Provider>
  );
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
    </Toast.Root>
  ));
}

export function useToasts() {
  const { add } = Toast.useToastManager();
  return {
    done: (title: string, description = '') => void add({ title, description, type: 'good' }),
    /** For `onError` of a write. */
    failed: (err: Error) =>
      void add({
        title: err.message,
        description: err instanceof Problem ? err.mend : '',
        type: 'bad',
        priority: 'high',
        timeout: 12_000,
      }),
  };
}
