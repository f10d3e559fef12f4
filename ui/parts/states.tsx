import type { UseQueryResult } from '@tanstack/react-query';
import { CircleAlert, Feather, Lock } from 'lucide-react';
import type { ReactNode } from 'react';
import { Problem } from '../client.ts';
import { useMe } from '../shell/me.ts';
import { text } from '../text.ts';
import { Button } from './button.tsx';

export function Loading() {
  return (
    <div className="loading" role="status">
      <span />
      <span />
      <span />
      <i className="hidden-text">{text.states.loading}</i>
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="state">
      <Feather aria-hidden />
      <p className="state-title">{title}</p>
      {typeof children === 'string' ? <p>{children}</p> : children}
    </div>
  );
}

/** What the API refused or did not answer, in its own words, with what helps. */
export function Failed({ error, onAgain }: { error: Error; onAgain?: () => void }) {
  const problem = error instanceof Problem ? error : undefined;
  if (problem?.status === 403) return <Forbidden />;
  return (
    <div className="state" role="alert">
      <CircleAlert aria-hidden />
      <p className="state-title">{problem?.status === 0 ? text.states.unanswered : text.states.failed}</p>
      <p>{error.message}</p>
      {problem?.mend && <p>{problem.mend}</p>}
      {problem?.requestId && <p className="faint code">{text.states.request(problem.requestId)}</p>}
      {onAgain && <Button onClick={onAgain}>{text.app.again}</Button>}
    </div>
  );
}

/** @public */
export function Forbidden() {
  const me = useMe();
  return (
    <div className="state">
      <Lock aria-hidden />
      <p className="state-title">{text.states.forbidden}</p>
      {me && <p>{text.states.forbiddenText(me.role)}</p>}
    </div>
  );
}

interface ShownProps<Data> {
  of: Pick<UseQueryResult<Data, Error>, 'data' | 'error' | 'refetch'>;
  /** In place of the children where there is nothing. */
  isEmpty?: (data: Data) => boolean;
  empty?: ReactNode;
  children: (data: Data) => ReactNode;
}

/** A query's answer, or that it is loading, empty, refused or failed. What was read before stays, should a later reading fail. */
export function Shown<Data>({ of, isEmpty, empty, children }: ShownProps<Data>) {
  if (of.data !== undefined) {
    const shown = isEmpty?.(of.data) ? empty : children(of.data);
    // Without a network the shell says so once for all.
    if (!(of.error instanceof Problem) || of.error.status === 0) return shown;
    return (
      <>
        <p className="away" role="status">
          {text.states.old(of.error.message)}
        </p>
        {shown}
      </>
    );
  }
  if (of.error) return <Failed error={of.error} onAgain={() => void of.refetch()} />;
  return <Loading />;
}
