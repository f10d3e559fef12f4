import { Link } from '@tanstack/react-router';
import { money } from '../format.ts';
import { StateBadge } from '../parts/badge.tsx';
import { Listed } from '../parts/listed.tsx';
import { Page, Section } from '../parts/page.tsx';
import { Empty, Failed } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { Time } from '../parts/time.tsx';
import { useApi, usePages } from '../queries.ts';
import { useMe } from '../shell/me.ts';
import { marketText } from '../texts/market.ts';
import { MarketTabs } from './market-tabs.tsx';
import './market.css';

const words = marketText;

const underWay = ['pending', 'authorized', 'captured'] as const;

/** What was bought and is not settled, so that nobody buys it twice. */
function OpenPurchases() {
  const me = useMe();
  const of = underWay.map((state) => ({ query: { as: 'buyer', state, limit: 50 } as const }));
  const [pending, authorized, captured] = [
    useApi('GET /v1/purchases', of[0]!),
    useApi('GET /v1/purchases', of[1]!),
    useApi('GET /v1/purchases', of[2]!),
  ];
  const all = [pending, authorized, captured];
  const failed = all.find(({ error, data }) => error && data === undefined);
  const rows = all.flatMap(({ data }) => data?.items ?? []).filter(({ buyer }) => buyer === me?.userId);
  if (failed?.error) return <Failed error={failed.error} onAgain={() => void failed.refetch()} />;
  if (rows.length === 0) return null;
  return (
    <Section title={words.openPurchases}>
      <Table
        caption={words.openPurchases}
        rows={rows}
        keyOf={({ id }) => id}
        columns={[
          {
            title: words.offer,
            cell: ({ listingId, packageId }) => (
              <Link to="/market/$listingId" params={{ listingId }}>
                {packageId.slice(0, 12)}
              </Link>
            ),
          },
          { title: words.price, cell: ({ price }) => money(price), isNumber: true },
          { title: words.state, cell: ({ state }) => <StateBadge state={state} /> },
          { title: words.when, cell: ({ createdAt }) => <Time at={createdAt} /> },
        ]}
      />
    </Section>
  );
}

/** What the reader holds. */
export function LicensesView() {
  const licenses = usePages('GET /v1/licenses', { query: { as: 'holder', limit: 200 } });
  return (
    <Page title={words.licenses} lead={words.licensesLead}>
      <MarketTabs />
      <OpenPurchases />
      <Listed
        of={licenses}
        empty={
          <Empty title={words.noLicenses}>
            <p>
              <Link to="/market">{words.seeOffers}</Link>
            </p>
          </Empty>
        }
      >
        {(items) => (
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
              { title: words.kind, cell: ({ kind }) => words.licenseKind(kind) },
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
      </Listed>
    </Page>
  );
}
