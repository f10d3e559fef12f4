import { Link } from '@tanstack/react-router';
import { counted, money } from '../format.ts';
import { Button } from '../parts/button.tsx';
import { Page } from '../parts/page.tsx';
import { Empty, Failed, Loading } from '../parts/states.tsx';
import { usePages } from '../queries.ts';
import { text } from '../text.ts';
import { marketText } from '../texts/market.ts';
import { MarketTabs } from './market-tabs.tsx';
import './market.css';

const words = marketText;

/** What is on offer. */
export function MarketView() {
  const { rows, error, refetch, hasNextPage, fetchNextPage, isFetchingNextPage } = usePages('GET /v1/listings', {
    query: { state: 'listed', limit: 48 },
  });
  return (
    <Page
      title={words.title}
      lead={words.lead}
      acts={
        <a className="button" href="/store">
          {words.publicStore}
        </a>
      }
    >
      <MarketTabs />
      {rows === undefined && (error ? <Failed error={error} onAgain={() => void refetch()} /> : <Loading />)}
      {rows?.length === 0 && <Empty title={words.none}>{words.noneText}</Empty>}
      {rows && rows.length > 0 && (
        <ul className="cards">
          {rows.map(({ id, title, summary, agentName, memories, reflections, price }) => (
            <li key={id} className="panel card">
              <h2>
                <Link to="/market/$listingId" params={{ listingId: id }}>
                  {title}
                </Link>
              </h2>
              <p className="faint">
                {agentName} · {counted(memories, 'memory', 'memories')}, {counted(reflections, 'reflection')}
              </p>
              {summary !== '' && <p className="market-summary soft">{summary}</p>}
              <p className="market-price">{money(price)}</p>
            </li>
          ))}
        </ul>
      )}
      {hasNextPage && (
        <p>
          <Button disabled={isFetchingNextPage} onClick={() => void fetchNextPage()}>
            {text.states.more}
          </Button>
        </p>
      )}
    </Page>
  );
}
