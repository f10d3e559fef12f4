import { useState } from 'react';
import { type Item, type Thing } from '../client.ts';
import { count, money } from '../format.ts';
import { StateBadge } from '../parts/badge.tsx';
import { Button } from '../parts/button.tsx';
import { type Decisions, useDecisions } from '../parts/decision.ts';
import { ConfirmDialog } from '../parts/dialog.tsx';
import { Listed } from '../parts/listed.tsx';
import { AreaField, Choices, SelectField, TextField } from '../parts/fields.tsx';
import { Figures } from '../parts/figures.tsx';
import { Page, Section } from '../parts/page.tsx';
import { Empty, Failed, Loading, Shown } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { Time } from '../parts/time.tsx';
import { useToasts } from '../parts/toasts.tsx';
import { useAllPages, useApi, usePages, useWrite } from '../queries.ts';
import { useMay, useMe } from '../shell/me.ts';
import { marketText } from '../texts/market.ts';
import { MarketTabs } from './market-tabs.tsx';
import { minorUnits } from './amounts.ts';
import './market.css';

const words = marketText;
type Purchase = Item<'GET /v1/purchases'>;
type Account = Item<'GET /v1/ledger/accounts'>;

/** What a creator offers, has sold, has earned and was paid. */
export function DeskView() {
  const may = useMay('creator');
  return (
    <Page title={words.desk} lead={words.deskLead}>
      <MarketTabs />
      <Earned />
      <Listings may={may} />
      <Sales may={may} />
      <Refunds />
      <Payouts />
      <BlessingShares />
    </Page>
  );
}

function Earned() {
  const me = useMe();
  const accounts = useAllPages('GET /v1/ledger/accounts', { query: { limit: 200 } });
  const own = (kind: Account['kind']) =>
    accounts.rows?.filter((account) => account.kind === kind && account.holder === me?.userId) ?? [];
  // Who runs the marketplace sees its pool; nobody else's accounts hold it.
  const pool = accounts.rows?.filter(({ kind }) => kind === 'blessings') ?? [];
  const told = (list: Account[]) =>
    list.map(({ balance, currency }) => money({ amount: balance, currency })).join(' · ') || '–';
  if (accounts.error) return <Failed error={accounts.error} onAgain={() => void accounts.refetch()} />;
  // Of some of the accounts a sum would be wrong.
  if (!accounts.isWhole) return <Loading />;
  return (
    <Figures
      of={[
        { label: words.earned, value: told(own('creator')) },
        { label: words.onTheWay, value: told(own('payouts')) },
        { label: words.balance, value: told(own('credits')) },
        ...(pool.length > 0 ? [{ label: words.pool, value: told(pool) }] : []),
      ]}
    />
  );
}

function Listings({ may }: { may: boolean }) {
  const listings = usePages('GET /v1/listings', { query: { mine: 'true', limit: 200 } });
  const toasts = useToasts();
  const [isNew, setNew] = useState(false);
  const touches = ['GET /v1/listings', 'GET /v1/listings/{id}'] as const;
  const list = useWrite('POST /v1/listings/{id}/list', { touches });
  const pause = useWrite('POST /v1/listings/{id}/pause', { touches });
  const retire = useWrite('POST /v1/listings/{id}/retire', { touches });
  const [retiring, setRetiring] = useState<Thing<'Listing'>>();
  const of = ({ id, version }: Thing<'Listing'>) => ({ path: { id }, options: { ifMatch: `"${version}"` } });
  const told = { onError: toasts.failed };
  return (
    <Section
      title={words.myListings}
      acts={
        may && (
          <Button kind="main" onClick={() => setNew(true)}>
            {words.newListing}
          </Button>
        )
      }
    >
      <Listed of={listings} empty={<Empty title={words.noListings}>{words.noListingsText}</Empty>}>
        {(items) => (
          <Table
            caption={words.myListings}
            rows={items}
            keyOf={({ id }) => id}
            columns={[
              { title: words.titleField, cell: ({ title }) => title },
              {
                title: words.state,
                cell: ({ state, takenDown }) => (
                  <>
                    <StateBadge state={state} />
                    {takenDown !== null && <p className="field-error">{words.takenDown(takenDown)}</p>}
                  </>
                ),
              },
              { title: words.price, cell: ({ price }) => money(price), isNumber: true },
              { title: words.kinds, cell: ({ kinds }) => kinds.map(words.licenseKind).join(', ') },
              {
                title: words.acts,
                cell: (listing) => (
                  <div className="form-acts">
                    {(listing.state === 'draft' || listing.state === 'paused') && (
                      <Button disabled={!may || list.isPending} onClick={() => list.mutate(of(listing), told)}>
                        {words.list}
                      </Button>
                    )}
                    {listing.state === 'listed' && (
                      <Button disabled={!may || pause.isPending} onClick={() => pause.mutate(of(listing), told)}>
                        {words.pause}
                      </Button>
                    )}
                    {listing.state !== 'retired' && (
                      <Button kind="danger" disabled={!may} onClick={() => setRetiring(listing)}>
                        {words.retire}
                      </Button>
                    )}
                  </div>
                ),
              },
            ]}
          />
        )}
      </Listed>
      <ConfirmDialog
        title={words.retireTitle(retiring?.title ?? '')}
        isOpen={retiring !== undefined}
        onClose={() => setRetiring(undefined)}
        act={words.retire}
        kind="danger"
        isPending={retire.isPending}
        onAct={() => {
          if (retiring) retire.mutate(of(retiring), { ...told, onSuccess: () => setRetiring(undefined) });
        }}
      >
        <p>{words.retireText}</p>
      </ConfirmDialog>
      {isNew && <NewListing onClose={() => setNew(false)} />}
    </Section>
  );
}

function NewListing({ onClose }: { onClose: () => void }) {
  const packages = useApi('GET /v1/loops', { query: { limit: 200 } });
  const kinds = useApi('GET /v1/license-kinds', {});
  const [offer, setOffer] = useState({
    packageId: '',
    title: '',
    summary: '',
    price: '',
    currency: 'EUR',
    terms: '1',
    statement: '',
  });
  const [sold, setSold] = useState<string[]>(['personal']);
  const set = (field: keyof typeof offer) => (event: { target: { value: string } }) =>
    setOffer({ ...offer, [field]: event.target.value });
  const draft = useWrite('POST /v1/listings', { touches: ['GET /v1/listings'] });
  const decisions = useDecisions();
  const amount = minorUnits(offer.price, offer.currency);
  const wrong = (path: string) => draft.error?.fields.find((field) => field.path.startsWith(path))?.rule;
  const press = () => {
    if (amount === undefined) return;
    const body = {
      packageId: offer.packageId || packages.data!.items[0]!.id,
      price: { amount, currency: offer.currency.toUpperCase() },
      termsVersion: offer.terms,
      kinds: sold,
      ...(offer.title === '' ? {} : { title: offer.title }),
      ...(offer.summary === '' ? {} : { summary: offer.summary }),
      ...(offer.statement === '' ? {} : { modelStatement: offer.statement }),
    };
    draft.mutate({ body, options: { idempotencyKey: decisions.keyFor(body) } }, { onSuccess: onClose });
  };
  return (
    <ConfirmDialog
      title={words.newListing}
      onClose={onClose}
      act={words.draft}
      isPending={draft.isPending}
      disabled={amount === undefined || sold.length === 0 || !packages.data?.items.length}
      onAct={press}
    >
      <Shown of={packages} isEmpty={({ items }) => items.length === 0} empty={<p>{words.noPackages}</p>}>
        {({ items }) => (
          <div className="form">
            <SelectField
              label={words.package}
              value={offer.packageId || items[0]!.id}
              onChange={set('packageId')}
              options={items.map(({ id, name, memories }) => ({ value: id, label: `${name} (${memories})` }))}
            />
            <TextField
              label={words.titleField}
              hint={words.titleHint}
              value={offer.title}
              maxLength={120}
              onChange={set('title')}
              error={wrong('title')}
            />
            <AreaField
              label={words.summary}
              value={offer.summary}
              maxLength={2000}
              onChange={set('summary')}
              error={wrong('summary')}
            />
            <TextField
              label={words.price}
              inputMode="decimal"
              value={offer.price}
              onChange={set('price')}
              error={wrong('price') ?? (offer.price !== '' && amount === undefined ? words.badAmount : undefined)}
            />
            <TextField
              label={words.currency}
              value={offer.currency}
              maxLength={3}
              onChange={set('currency')}
              error={wrong('currency')}
            />
            <TextField
              label={words.terms}
              value={offer.terms}
              maxLength={40}
              onChange={set('terms')}
              error={wrong('termsVersion')}
            />
            <Choices
              label={words.kinds}
              type="checkbox"
              options={(kinds.data?.items ?? []).map(({ id, summary }) => ({
                value: id,
                label: `${words.licenseKind(id)}: ${summary}`,
              }))}
              chosen={sold}
              onChange={setSold}
            />
            <AreaField
              label={words.statement}
              hint={words.statementHint}
              value={offer.statement}
              maxLength={1000}
              onChange={set('statement')}
              error={wrong('modelStatement')}
            />
            {draft.error && (
              <p className="field-error" role="alert">
                {draft.error.message} {draft.error.mend}
              </p>
            )}
          </div>
        )}
      </Shown>
    </ConfirmDialog>
  );
}

function Sales({ may }: { may: boolean }) {
  const sales = usePages('GET /v1/purchases', { query: { as: 'seller', limit: 100 } });
  const [refunding, setRefunding] = useState<Purchase>();
  const decisions = useDecisions();
  return (
    <Section title={words.sales}>
      <Listed of={sales} empty={<Empty title={words.noSales} />}>
        {(items) => (
          <Table
            caption={words.sales}
            rows={items}
            keyOf={({ id }) => id}
            columns={[
              { title: words.when, cell: ({ createdAt }) => <Time at={createdAt} /> },
              { title: words.state, cell: ({ state }) => <StateBadge state={state} /> },
              { title: words.kind, cell: ({ licenseKind }) => words.licenseKind(licenseKind) },
              { title: words.price, cell: ({ price }) => money(price), isNumber: true },
              { title: words.split, cell: (sale) => <Split sale={sale} /> },
              {
                title: words.refunded,
                cell: ({ refunded, price }) => money({ amount: refunded, currency: price.currency }),
                isNumber: true,
              },
              {
                title: words.acts,
                cell: (sale) =>
                  sale.state === 'completed' &&
                  sale.refunded < sale.price.amount && (
                    <Button disabled={!may} onClick={() => setRefunding(sale)}>
                      {words.refund}
                    </Button>
                  ),
              },
            ]}
          />
        )}
      </Listed>
      {refunding && <RefundDialog sale={refunding} decisions={decisions} onClose={() => setRefunding(undefined)} />}
    </Section>
  );
}

/** To the unit: the parts add up to what was paid. */
function Split({ sale: { split, price } }: { sale: Purchase }) {
  const told = (amount: number) => money({ amount, currency: price.currency });
  const creators = split.creators.reduce((sum, { amount }) => sum + amount, 0);
  return (
    <span className="market-split">
      <span>{words.splitCreators(told(creators))}</span>
      <span>{words.splitPlatform(told(split.platform))}</span>
      <span>{words.splitPool(told(split.blessings))}</span>
      {split.tax > 0 && <span>{words.splitTax(told(split.tax))}</span>}
    </span>
  );
}

interface RefundProps {
  sale: Purchase;
  decisions: Decisions;
  onClose: () => void;
}

function RefundDialog({ sale, decisions, onClose }: RefundProps) {
  const left = sale.price.amount - sale.refunded;
  const [amount, setAmount] = useState('');
  const [reason, setReason] = useState('');
  const refund = useWrite('POST /v1/purchases/{id}/refunds', {
    touches: ['GET /v1/purchases', 'GET /v1/refunds', 'GET /v1/ledger/accounts'],
  });
  const toasts = useToasts();
  const part = amount === '' ? undefined : minorUnits(amount, sale.price.currency);
  const press = () => {
    const body = { reason, ...(part === undefined ? {} : { amount: part }) };
    const decision = [sale.id, body, sale.refunded];
    refund.mutate(
      { path: { id: sale.id }, body, options: { idempotencyKey: decisions.keyFor(decision) } },
      {
        onError: ({ status }) => {
          if (status >= 400 && status < 500) decisions.over(decision);
        },
        onSuccess: () => {
          toasts.done(words.refundMade);
          onClose();
        },
      },
    );
  };
  return (
    <ConfirmDialog
      title={words.refund}
      onClose={onClose}
      act={words.refundNow}
      kind="danger"
      isPending={refund.isPending}
      disabled={reason.trim() === '' || (amount !== '' && part === undefined)}
      onAct={press}
    >
      <div className="form">
        <p>{words.refundText(money({ amount: left, currency: sale.price.currency }))}</p>
        <TextField
          label={words.refundAmount}
          hint={words.refundAmountHint}
          inputMode="decimal"
          value={amount}
          onChange={(event) => setAmount(event.target.value)}
          error={amount !== '' && part === undefined ? words.badAmount : undefined}
        />
        <TextField
          label={words.reason}
          value={reason}
          maxLength={300}
          onChange={(event) => setReason(event.target.value)}
        />
        {refund.error && (
          <p className="field-error" role="alert">
            {refund.error.message}
          </p>
        )}
      </div>
    </ConfirmDialog>
  );
}

function Refunds() {
  const refunds = usePages('GET /v1/refunds', { query: { limit: 50 } });
  return (
    <Section title={words.refunds}>
      <Listed of={refunds} empty={<p className="faint">{words.noRefunds}</p>}>
        {(items) => (
          <Table
            caption={words.refunds}
            rows={items}
            keyOf={({ id }) => id}
            columns={[
              { title: words.when, cell: ({ madeAt }) => <Time at={madeAt} /> },
              { title: words.amount, cell: ({ amount, currency }) => money({ amount, currency }), isNumber: true },
              { title: words.state, cell: ({ state }) => <StateBadge state={state} /> },
              { title: words.reason, cell: ({ reason, failure }) => failure || reason },
            ]}
          />
        )}
      </Listed>
    </Section>
  );
}

/** Where a creator is paid; left empty: by hand. */
function PayoutAccount() {
  const me = useMe();
  const [userId, setUserId] = useState('');
  const [account, setAccount] = useState('');
  const [isAsked, setAsked] = useState(false);
  const toasts = useToasts();
  const set = useWrite('POST /v1/payouts/accounts', { touches: ['GET /v1/payouts', 'GET /v1/inbox'] });
  const isOwn = userId.trim() === '';
  const whose = isOwn ? me?.userId : userId.trim();
  const where = account.trim() === '' ? null : account.trim();
  const press = () =>
    set.mutate(
      { query: {}, body: { userId: whose!, provider: 'stripe', account: where } },
      {
        onSuccess: () => toasts.done(where === null ? words.paidByHand : words.paidThere),
        onSettled: () => setAsked(false),
      },
    );
  return (
    <details>
      <summary>{words.account}</summary>
      <div className="form">
        <TextField
          label={words.creator}
          hint={words.creatorHint}
          value={userId}
          maxLength={60}
          onChange={(event) => setUserId(event.target.value)}
        />
        <TextField
          label={words.accountId}
          hint={words.accountHint}
          value={account}
          maxLength={70}
          onChange={(event) => setAccount(event.target.value)}
          error={set.error?.message}
        />
        <div className="form-acts">
          <Button disabled={whose === undefined || set.isPending} onClick={() => setAsked(true)}>
            {words.setAccount}
          </Button>
        </div>
      </div>
      <ConfirmDialog
        title={words.account}
        isOpen={isAsked}
        onClose={() => setAsked(false)}
        act={words.setAccount}
        kind={where === null ? 'danger' : 'main'}
        isPending={set.isPending}
        onAct={press}
      >
        <p>
          {where === null
            ? words.payByHand(isOwn ? undefined : whose)
            : words.payThere(where, isOwn ? undefined : whose)}
        </p>
      </ConfirmDialog>
    </details>
  );
}

/** How the blessing pool was shared out: of all to who runs the marketplace, of one's own to whoever was blessed. */
function BlessingShares() {
  const shares = usePages('GET /v1/ledger/blessing-shares', { query: { limit: 20 } });
  const told = (list: ReadonlyArray<{ amount: number; currency: string }>) =>
    list.map(money).join(' · ') || words.nothingShared;
  return (
    <Section title={words.shares}>
      <Listed of={shares} empty={<p className="faint">{words.noShares}</p>}>
        {(items) => (
          <Table
            caption={words.shares}
            rows={items}
            keyOf={({ period }) => period}
            columns={[
              { title: words.when, cell: ({ madeAt }) => <Time at={madeAt} /> },
              {
                title: words.sharedOut,
                cell: ({ shared }) =>
                  shared === null ? '–' : told(shared.map(({ shared: amount, currency }) => ({ amount, currency }))),
                isNumber: true,
              },
              {
                title: words.blessings,
                cell: ({ blessings, yourBlessings }) =>
                  blessings === null ? count(yourBlessings) : words.blessingsOf(count(yourBlessings), count(blessings)),
                isNumber: true,
              },
              { title: words.yourShare, cell: ({ yours }) => told(yours), isNumber: true },
            ]}
          />
        )}
      </Listed>
    </Section>
  );
}

function Payouts() {
  const may = useMay('operator');
  const payouts = usePages('GET /v1/payouts', { query: { limit: 50 } });
  return (
    <Section title={words.payouts}>
      <Listed of={payouts} empty={<p className="faint">{words.noPayouts}</p>}>
        {(items) => (
          <Table
            caption={words.payouts}
            rows={items}
            keyOf={({ id }) => id}
            columns={[
              { title: words.when, cell: ({ startedAt }) => <Time at={startedAt} /> },
              { title: words.amount, cell: ({ amount, currency }) => money({ amount, currency }), isNumber: true },
              { title: words.state, cell: ({ state }) => <StateBadge state={state} /> },
              { title: words.reason, cell: ({ reason, reference }) => reference ?? reason },
            ]}
          />
        )}
      </Listed>
      {may && <PayoutAccount />}
    </Section>
  );
}
