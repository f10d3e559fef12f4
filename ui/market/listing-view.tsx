import { useQueryClient } from '@tanstack/react-query';
import { Link, useParams } from '@tanstack/react-router';
import { useState } from 'react';
import type { Item, Thing } from '../client.ts';
import { counted, money } from '../format.ts';
import { Badge, StateBadge } from '../parts/badge.tsx';
import { Button } from '../parts/button.tsx';
import { useDecisions } from '../parts/decision.ts';
import { Choices } from '../parts/fields.tsx';
import { Page, Section } from '../parts/page.tsx';
import { Shown } from '../parts/states.tsx';
import { Time } from '../parts/time.tsx';
import { useToasts } from '../parts/toasts.tsx';
import { apiQuery, useAllPages, useApi, useWrite } from '../queries.ts';
import { useMay, useMe } from '../shell/me.ts';
import { text } from '../text.ts';
import { marketText } from '../texts/market.ts';
import './market.css';

const words = marketText;
type Payment = 'credits' | 'stripe';

/** One offer, and how it is bought. */
export function ListingView() {
  const { listingId = '' } = useParams({ strict: false });
  const listing = useApi('GET /v1/listings/{id}', { path: { id: listingId } });
  return (
    <Page title={listing.data?.title ?? words.title} lead={listing.data?.agentName}>
      <Shown of={listing}>{(offer) => <Offer offer={offer} />}</Shown>
    </Page>
  );
}

function Offer({ offer }: { offer: Thing<'Listing'> }) {
  const { summary, memories, reflections, models, contentHash, termsVersion, state } = offer;
  return (
    <div className="market-offer">
      <div className="section">
        {state !== 'listed' && (
          <p>
            <StateBadge state={state} /> {words.notOnOffer}
          </p>
        )}
        {summary !== '' && <p className="said">{summary}</p>}
        <Section title={words.inside}>
          <dl className="market-facts">
            <dt>{words.memories}</dt>
            <dd>
              {counted(memories, 'memory', 'memories')}, {counted(reflections, 'reflection')}
            </dd>
            <dt>{words.models}</dt>
            <dd>{models.map(({ id, license }) => `${id} (${license ?? words.noLicense})`).join(', ')}</dd>
            <dt>{words.terms}</dt>
            <dd>{termsVersion}</dd>
            <dt>{words.knownBy}</dt>
            <dd>
              <code>{contentHash.slice(0, 24)}…</code>
            </dd>
          </dl>
        </Section>
      </div>
      <Buying offer={offer} />
    </div>
  );
}

/** How it is bought, or how far that is: whoever comes back finds the purchase that is not settled, and no second one is begun unseen. */
function Buying({ offer }: { offer: Thing<'Listing'> }) {
  const [begun, setBegun] = useState<string>();
  const queries = useQueryClient();
  const me = useMe();
  /** Of those that came to nothing, and are to be begun anew: the list may not have heard of it yet. */
  const [aside, setAside] = useState<readonly string[]>([]);
  const read = useApi('GET /v1/purchases', { query: { as: 'buyer', listingId: offer.id, limit: 50 } });
  const own = read.data?.items.filter(({ buyer }) => buyer === me?.userId) ?? [];
  const unsettled = own.find(({ id, state }) => open.includes(state) && !aside.includes(id));
  // It stays in sight when it is settled, too.
  if (begun === undefined && unsettled !== undefined) setBegun(unsettled.id);
  if (begun !== undefined) {
    const again = () => {
      setAside([...aside, begun]);
      setBegun(undefined);
    };
    return <Bought purchaseId={begun} onAgain={again} />;
  }
  if (offer.state !== 'listed') return null;
  const begin = (purchase: Thing<'Purchase'>) => {
    // Its row may come a moment after the answer.
    queries.setQueryData(apiQuery('GET /v1/purchases/{id}', { path: { id: purchase.id } }).queryKey, purchase);
    setBegun(purchase.id);
  };
  // By the answer that was lost somebody would not know that they have bought it, and buy it once more.
  const last = own.find(({ state }) => state === 'completed');
  return <Shown of={read}>{() => <Buy offer={offer} last={last} onBegun={begin} />}</Shown>;
}

interface BuyProps {
  offer: Thing<'Listing'>;
  /** The last one of one's own that was completed. */
  last: Thing<'Purchase'> | undefined;
  onBegun: (purchase: Thing<'Purchase'>) => void;
}

function Buy({ offer, last, onBegun }: BuyProps) {
  const kinds = useApi('GET /v1/license-kinds', {});
  const credits = useAllPages('GET /v1/ledger/accounts', {
    query: { kind: 'credits', currency: offer.price.currency, limit: 200 },
  });
  const me = useApi('GET /v1/me', {});
  const providers = useApi('GET /v1/payments/providers', {});
  const hasCards = providers.data?.items.some(({ id }) => id === 'stripe') ?? false;
  const [kind, setKind] = useState(offer.kinds[0] ?? '');
  const [payment, setPayment] = useState<Payment>('credits');
  const decisions = useDecisions();
  const toasts = useToasts();
  const may = useMay('member');
  const buy = useWrite('POST /v1/purchases', {
    touches: ['GET /v1/licenses', 'GET /v1/purchases', 'GET /v1/ledger/accounts'],
  });
  // Who has no account has nothing; until both are read, nothing is said of it.
  const account = credits.rows?.find(({ holder }) => holder === me.data?.userId);
  const isKnown = me.data !== undefined && (credits.isWhole || account !== undefined);
  const balance = account?.balance ?? 0;
  const byCredits = isKnown
    ? words.credits(money({ amount: balance, currency: offer.price.currency }))
    : words.creditsAtOnce;

  const press = () => {
    // The price that was read: another one is refused, not paid.
    const body = { listingId: offer.id, kind, payment, price: offer.price };
    buy.mutate(
      { body, options: { idempotencyKey: decisions.keyFor(body) } },
      {
        onSuccess: (purchase) => {
          decisions.over(body);
          onBegun(purchase as Thing<'Purchase'>);
        },
        onError: toasts.failed,
      },
    );
  };
  return (
    <section className="panel market-buy" aria-labelledby="market-buy">
      <h2 id="market-buy">{words.buyTitle}</h2>
      <p className="market-price">{money(offer.price)}</p>
      <Choices
        label={words.kind}
        type="radio"
        options={offer.kinds.map((value) => ({
          value,
          label: <KindText id={value} kind={kinds.data?.items.find(({ id }) => id === value)} />,
        }))}
        chosen={[kind]}
        onChange={([next]) => setKind(next!)}
      />
      {hasCards && (
        <Choices
          label={words.payBy}
          type="radio"
          options={[
            { value: 'credits', label: byCredits },
            { value: 'stripe', label: words.card },
          ]}
          chosen={[payment]}
          onChange={([next]) => setPayment(next as Payment)}
        />
      )}
      {!hasCards && <p className="soft">{byCredits}</p>}
      {providers.error && <p className="faint">{words.noProviders(providers.error.message)}</p>}
      {last && (
        <p role="status">
          {words.boughtBefore} <Time at={last.createdAt} />.{' '}
          {last.licenseId && (
            <Link to="/market/licenses/$licenseId" params={{ licenseId: last.licenseId }}>
              {words.openLicense}
            </Link>
          )}
        </p>
      )}
      <Button kind="main" disabled={!may || buy.isPending || kind === ''} onClick={press}>
        {buy.isPending ? words.buying : words.buyFor(money(offer.price))}
      </Button>
      {!may && <p className="faint">{words.mayNotBuy}</p>}
    </section>
  );
}

function KindText({ id, kind }: { id: string; kind: Item<'GET /v1/license-kinds'> | undefined }) {
  return (
    <>
      <strong>{words.licenseKind(id)}</strong>
      {kind && <span className="soft">: {kind.summary}</span>}
    </>
  );
}

const open = ['pending', 'authorized', 'captured'];
/** At one each two seconds. */
const mostMisses = 30;

/** What came of it; by a card it goes on at the provider. */
function Bought({ purchaseId, onAgain }: { purchaseId: string; onAgain: () => void }) {
  const toasts = useToasts();
  const cancel = useWrite('POST /v1/purchases/{id}/cancel', {
    touches: ['GET /v1/purchases/{id}', 'GET /v1/purchases'],
  });
  const purchase = useApi(
    'GET /v1/purchases/{id}',
    { path: { id: purchaseId } },
    { everyMs: 2_000, isOver: ({ state }) => !open.includes(state) },
  );
  // What was asked for has its row a moment later; where it never comes, that is said.
  const isYetToCome = purchase.error?.status === 404 && purchase.errorUpdateCount <= mostMisses;
  return (
    <section className="panel market-buy" aria-live="polite">
      <Shown of={isYetToCome ? { ...purchase, error: null } : purchase}>
        {({ state, licenseId, payUrl, reason, price }) => (
          <>
            <p>
              <StateBadge state={state} />
            </p>
            {state === 'completed' && (
              <>
                <h2>{words.bought}</h2>
                <p>{words.paid(money(price))}</p>
                {licenseId && (
                  <Link className="button" data-kind="main" to="/market/licenses/$licenseId" params={{ licenseId }}>
                    {words.openLicense}
                  </Link>
                )}
              </>
            )}
            {open.includes(state) && (
              <>
                <h2>{payUrl ? words.payNow : words.underWay}</h2>
                {payUrl?.startsWith('https://') && (
                  <a className="button" data-kind="main" href={payUrl} rel="noreferrer">
                    {words.payAtProvider}
                  </a>
                )}
                {payUrl && (
                  <Button
                    disabled={cancel.isPending}
                    onClick={() => cancel.mutate({ path: { id: purchaseId }, body: null }, { onError: toasts.failed })}
                  >
                    {words.cancelPurchase}
                  </Button>
                )}
              </>
            )}
            {!open.includes(state) && state !== 'completed' && (
              <p>
                <Badge tone="bad">{words.notBought}</Badge> {reason} <Button onClick={onAgain}>{text.app.again}</Button>
              </p>
            )}
          </>
        )}
      </Shown>
    </section>
  );
}
