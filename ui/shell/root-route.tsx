import { createRootRoute, type ErrorComponentProps, Link } from '@tanstack/react-router';
import { Button } from '../parts/button.tsx';
import { Page } from '../parts/page.tsx';
import { Failed } from '../parts/states.tsx';
import { text } from '../text.ts';
import { Shell } from './shell.tsx';

/** The route that every view hangs on. */
export const rootRoute = createRootRoute({ component: Shell, notFoundComponent: NotFound });

function NotFound() {
  const { title, text: says, home } = text.app.notFound;
  return (
    <Page title={title} lead={says}>
      <p>
        <Link to="/" className="button" data-kind="main">
          {home}
        </Link>
      </p>
    </Page>
  );
}

/** A fault of a view stays in the view; the menu goes on. */
export function Broken({ error }: ErrorComponentProps) {
  return (
    <div className="page">
      <Failed error={error instanceof Error ? error : new Error(String(error))} />
      <p className="soft">{text.app.wake}</p>
      <p>
        <Button onClick={() => location.reload()}>{text.app.reload}</Button>
      </p>
    </div>
  );
}
