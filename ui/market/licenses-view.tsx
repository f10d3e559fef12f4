import { Link } from '@tanstack/react-router';
import { StateBadge } from '../parts/badge.tsx';
import { Page } from '../parts/page.tsx';
import { Empty, Shown } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { Time } from '../parts/time.tsx';
import { useApi } from '../queries.ts';
import { text } from '../text.ts';
import { MarketTabs } from './market-tabs.tsx';
import './market.css';

const words = text.market;

/** What the reader holds. */
export function LicensesView() {
  const licenses = useApi('GET /v1/licenses', { query: { as: 'holder', limit: 200 } });
  return (
    <Page title={words.licenses} lead={words.licensesLead}>
      <MarketTabs />
      <Shown
        of={licenses}
        isEmpty={({ items }) => items.length === 0}
        empty={
          <Empty title={words.noLicenses}>
            <p>
              <Link to="/market">{words.seeOffers}</Link>
            </p>
          </Empty>
        }
      >
        {({ items }) => (
          <Table
            caption={words.licenses}
            rows={items}
            keyOf={({ id }) => id}
            columns={[
              {
                title: words.license,
                cell: ({ id, packageHash }) => (
                  <Link to="/market/licenses/$licenseId" params={{ licenseId: id }}>
                    {packageHash.slice(0, 12)}
                  </Link>
                ),
              },
              { title: words.kind, cell: ({ kind }) => kind.replaceAll('_', ' ') },
              { title: words.state, cell: ({ state }) => <StateBadge state={state} /> },
              {
                title: words.uses,
                cell: ({ uses, usesLimit }) => (usesLimit === null ? words.unlimited : `${uses} / ${usesLimit}`),
                isNumber: true,
              },
              {
                title: words.activations,
                cell: ({ activations, activationsLimit }) =>
                  activationsLimit === null ? String(activations) : `${activations} / ${activationsLimit}`,
                isNumber: true,
              },
              {
                title: words.until,
                cell: ({ expiresAt }) => (expiresAt === null ? words.forever : <Time at={expiresAt} />),
              },
            ]}
          />
        )}
      </Shown>
    </Page>
  );
}
