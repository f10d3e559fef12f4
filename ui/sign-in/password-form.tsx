import { useQueryClient } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { Problem, call } from '../client.ts';
import { Button } from '../parts/button.tsx';
import { TextField } from '../parts/fields.tsx';
import { signedAnew } from '../session.ts';
import { signInText } from '../texts/sign-in.ts';

const words = signInText;

/** Signs in by address and password; who forgot it, or never had one, is mailed a link, within whose time another can be set. */
export function PasswordForm() {
  const queries = useQueryClient();
  const [address, setAddress] = useState('');
  const [password, setPassword] = useState('');
  const [state, setState] = useState<{ told?: string; isMailed?: boolean; isBusy?: boolean }>({});

  const attempt = async (act: () => Promise<typeof state>) => {
    setState({ isBusy: true });
    try {
      setState(await act());
    } catch (err) {
      if (!(err instanceof Problem)) throw err;
      setState({ told: err.message });
    }
  };
  const signIn = (event: FormEvent) => {
    event.preventDefault();
    void attempt(async () => {
      await call('POST /v1/sign-ins', { body: { address: address.trim(), password } });
      await signedAnew(queries);
      return {};
    });
  };
  const mailLink = () =>
    void attempt(async () => {
      await call('POST /v1/sign-ups', { body: { address: address.trim() } });
      return { isMailed: true };
    });

  return (
    <form className="form" data-part="password" onSubmit={signIn}>
      <TextField
        label={words.address}
        type="email"
        autoComplete="username"
        required
        maxLength={254}
        value={address}
        onChange={(event) => setAddress(event.target.value)}
      />
      <TextField
        label={words.password}
        type="password"
        autoComplete="current-password"
        required
        maxLength={128}
        value={password}
        onChange={(event) => setPassword(event.target.value)}
      />
      <Button kind="main" type="submit" disabled={state.isBusy}>
        {words.button}
      </Button>
      <p className="soft">{words.fresh}</p>
      <Button kind="quiet" disabled={state.isBusy || address.trim() === ''} onClick={mailLink}>
        {words.mailLink}
      </Button>
      <p role="alert">{state.told}</p>
      <p role="status" className="soft">
        {state.isMailed && words.mailed}
      </p>
    </form>
  );
}
