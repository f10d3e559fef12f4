import { useQuery } from '@tanstack/react-query';
import { problemOf } from '../client.ts';
import { Dialog } from '../parts/dialog.tsx';
import { Failed, Loading } from '../parts/states.tsx';
import { homeText } from '../texts/home.ts';

const words = homeText;
const mostRows = 20;

/** What a notice is about, as the API tells it, where no view of ours shows it. */
export function FactsDialog({ path, title, onClose }: { path: string; title: string; onClose: () => void }) {
  const facts = useQuery({
    queryKey: [`GET ${path}`],
    queryFn: async ({ signal }): Promise<unknown> => {
      const response = await fetch(path, { signal, headers: { accept: 'application/json' } });
      if (!response.ok) throw await problemOf(response);
      return response.json();
    },
  });
  return (
    <Dialog title={title} isOpen onClose={onClose}>
      {facts.data === undefined ? (
        facts.error ? (
          <Failed error={facts.error} onAgain={() => void facts.refetch()} />
        ) : (
          <Loading />
        )
      ) : (
        <Facts of={facts.data} />
      )}
    </Dialog>
  );
}

function Facts({ of }: { of: unknown }) {
  const { items } = of as { items?: unknown[] };
  if (!Array.isArray(items)) return <Row of={of} />;
  if (items.length === 0) return <p>{words.noFacts}</p>;
  return (
    <ol className="rows">
      {items.slice(0, mostRows).map((item, i) => (
        <li key={(item as { id?: string }).id ?? i}>
          <Row of={item} />
        </li>
      ))}
      {items.length > mostRows && <li className="faint">{words.moreFacts(items.length - mostRows)}</li>}
    </ol>
  );
}

const told = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));

function Row({ of }: { of: unknown }) {
  const rows = Object.entries(of as object).filter(([, value]) => value !== null && value !== '');
  return (
    <dl className="home-facts">
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{told(value)}</dd>
        </div>
      ))}
    </dl>
  );
}
