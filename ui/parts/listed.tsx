import type { ReactNode } from 'react';
import { text } from '../text.ts';
import { Button } from './button.tsx';
import { Shown } from './states.tsx';

/** What `usePages` gives. */
export interface Pages<Row> {
  rows: Row[] | undefined;
  error: Error | null;
  refetch: () => unknown;
  hasNextPage: boolean;
  isFetchingNextPage: boolean;
  fetchNextPage: () => unknown;
}

interface Props<Row> {
  of: Pages<Row>;
  /** In place of the children where there are none. */
  empty: ReactNode;
  children: (rows: Row[]) => ReactNode;
}

/** A list page by page: those that are read, and that there are more. */
export function Listed<Row>({ of, empty, children }: Props<Row>) {
  const { rows, error, refetch } = of;
  return (
    <Shown of={{ data: rows, error, refetch: refetch as never }} isEmpty={(all) => all.length === 0} empty={empty}>
      {(all) => (
        <>
          {children(all)}
          <More of={of} />
        </>
      )}
    </Shown>
  );
}

export function More({ of }: { of: Pages<unknown> }) {
  if (!of.hasNextPage) return null;
  return (
    <p>
      <Button disabled={of.isFetchingNextPage} onClick={() => void of.fetchNextPage()}>
        {text.states.more}
      </Button>
    </p>
  );
}
