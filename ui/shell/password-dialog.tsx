import { useState } from 'react';
import { Button } from '../parts/button.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { TextField } from '../parts/fields.tsx';
import { useToasts } from '../parts/toasts.tsx';
import { useWrite } from '../queries.ts';
import { text } from '../text.ts';
import { passwordText } from '../texts/password.ts';

const words = passwordText;
const least = 12;

/** Sets the password of who is signed in, and ends whatever else they signed in by. */
export function PasswordDialog({ onClose }: { onClose: () => void }) {
  const [next, setNext] = useState('');
  const [current, setCurrent] = useState('');
  const toasts = useToasts();
  const save = useWrite('PUT /v1/me/password');
  const endOthers = useWrite('DELETE /v1/me/sessions');
  const isBusy = save.isPending || endOthers.isPending;
  const close = (title: string) => (answer: { ended: number }) => {
    toasts.done(title, words.ended(answer.ended));
    onClose();
  };

  return (
    <Dialog
      title={words.title}
      isOpen
      onClose={onClose}
      acts={
        <>
          <Button onClick={onClose}>{text.app.close}</Button>
          <Button
            disabled={isBusy}
            onClick={() => endOthers.mutate({}, { onSuccess: close(words.othersOut), onError: toasts.failed })}
          >
            {words.others}
          </Button>
          <Button kind="main" type="submit" form="password" disabled={isBusy || next.length < least}>
            {words.save}
          </Button>
        </>
      }
    >
      <form
        id="password"
        className="form"
        onSubmit={(event) => {
          event.preventDefault();
          const body = { password: next, ...(current === '' ? {} : { current }) };
          save.mutate({ body }, { onSuccess: close(words.saved) });
        }}
      >
        <TextField
          label={words.next}
          hint={words.nextHint}
          type="password"
          autoComplete="new-password"
          minLength={least}
          maxLength={128}
          value={next}
          onChange={(event) => setNext(event.target.value)}
        />
        <TextField
          label={words.current}
          hint={words.currentHint}
          type="password"
          autoComplete="current-password"
          maxLength={128}
          value={current}
          onChange={(event) => setCurrent(event.target.value)}
        />
        <p role="alert" className="field-error">
          {save.error?.fields.find(({ path }) => path === 'password')?.mend ?? save.error?.message}
        </p>
      </form>
    </Dialog>
  );
}
