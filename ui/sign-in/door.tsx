import { useQueryClient } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { Fragment, type ReactNode, useEffect, useMemo, useState } from 'react';
import { Problem, call } from '../client.ts';
import { followEvents } from '../live.ts';
import { Button } from '../parts/button.tsx';
import { Failed, Loading } from '../parts/states.tsx';
import { useApi } from '../queries.ts';
import { createViews } from '../routes.ts';
import icon from '../shell/icon.svg';
import '../shell/shell.css';
import { signedAnew } from '../session.ts';
import { text } from '../text.ts';
import { signInText } from '../texts/sign-in.ts';
import type { SignInLink } from './link.ts';
import { onwardAddress } from './onward.ts';
import { PasswordForm } from './password-form.tsx';

/** Lets in who is signed in, and shows the others how to be. */
export function Door({ link }: { link: SignInLink }) {
  const [once, setOnce] = useState(link.once);
  const me = useApi('GET /v1/me', {}, { enabled: once === undefined });
  const views = useMemo(() => createViews(), []);
  const isIn = once === undefined && me.data !== undefined && !isSignedOut(me.error);

  if (once !== undefined) return <LinkPage once={once} onEnd={() => setOnce(undefined)} />;
  const onward = isIn ? onwardAddress(location.search) : undefined;
  if (onward !== undefined) return <Onward to={onward} />;
  if (isIn) {
    return (
      // Nothing that one person typed or was told is there for the next.
      <Fragment key={me.data?.userId}>
        <Live />
        <RouterProvider router={views} />
      </Fragment>
    );
  }
  if (isSignedOut(me.error)) return <SignedOut />;
  if (me.error) {
    return (
      <Closed title={text.app.name} part="failed">
        <Failed error={me.error} onAgain={() => void me.refetch()} />
      </Closed>
    );
  }
  return <Loading />;
}

const isSignedOut = (err: Problem | null) => err?.status === 401;

function Onward({ to }: { to: string }) {
  useEffect(() => location.replace(to), [to]);
  return <Loading />;
}

function Live() {
  const queries = useQueryClient();
  useEffect(() => {
    const until = new AbortController();
    followEvents(queries, until.signal);
    return () => until.abort();
  }, [queries]);
  return null;
}

function Closed({ title, part, children }: { title: string; part: string; children: ReactNode }) {
  return (
    <main className="door" data-part={part}>
      <span className="brand">
        <img src={icon} alt="" />
        {text.app.name}
      </span>
      <div className="panel">
        <h1>{title}</h1>
        {children}
      </div>
    </main>
  );
}

/** Mail programs and scanners open links to look at them, and run what is there: only the press uses the link up. */
function LinkPage({ once, onEnd }: { once: string; onEnd: () => void }) {
  const queries = useQueryClient();
  const [state, setState] = useState<{ problem?: Problem; isBusy?: boolean }>({});
  const { problem, isBusy } = state;
  const signIn = async () => {
    setState({ isBusy: true });
    try {
      await call('POST /v1/sessions', { body: { once } });
      await signedAnew(queries);
      onEnd();
    } catch (err) {
      if (!(err instanceof Problem)) throw err;
      setState({ problem: err });
    }
  };
  return (
    <Closed title={signInText.title} part="link">
      <p className="soft">{signInText.once}</p>
      {/* Used, or over: another press would be told the same. */}
      {problem?.status !== 401 && (
        <Button kind="main" disabled={isBusy} onClick={() => void signIn()}>
          {signInText.button}
        </Button>
      )}
      <p role="alert">{problem?.message}</p>
      {problem?.status === 401 && <Button onClick={onEnd}>{text.app.notFound.home}</Button>}
    </Closed>
  );
}

function SignedOut() {
  const { title, out, run } = signInText;
  return (
    <Closed title={title} part="signed-out">
      <PasswordForm />
      <p>{out}</p>
      <p className="soft">
        {run} <code>npx soulfra token create --once</code>
      </p>
    </Closed>
  );
}
