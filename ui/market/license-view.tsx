import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useParams } from '@tanstack/react-router';
import { useState } from 'react';
import type { Verdict } from '../../verifier/index.js';
import { type Thing, call } from '../client.ts';
import { dateTime } from '../format.ts';
import { Badge, StateBadge } from '../parts/badge.tsx';
import { Button } from '../parts/button.tsx';
import { newKey, useDecisions } from '../parts/decision.ts';
import { TextField } from '../parts/fields.tsx';
import { Page, Section } from '../parts/page.tsx';
import { Shown } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { Time } from '../parts/time.tsx';
import { useToasts } from '../parts/toasts.tsx';
import { useApi, useWrite } from '../queries.ts';
import { marketText } from '../texts/market.ts';
import { canVerify, keepProof, keptProof, pinKeys, pinnedKeys, type Proof, verifyProof } from './proofs.ts';
import './market.css';

const words = marketText;

/** One license: what it permits, its file, where it is in use, and its uses. */
export function LicenseView() {
  const { licenseId = '' } = useParams({ strict: false });
  const license = useApi('GET /v1/licenses/{id}', { path: { id: licenseId } });
  return (
    <Page title={words.license} lead={<code>{licenseId}</code>}>
      <Shown of={license}>{(held) => <Held license={held} />}</Shown>
      {/* Verifying needs nothing but what this browser keeps, so it is here also where the API does not answer. */}
      <Offline licenseId={licenseId} license={license.data} />
    </Page>
  );
}

function Held({ license }: { license: Thing<'License'> }) {
  const { id, kind, state, usesLimit, uses, expiresAt, transferable, commercial, activationsLimit } = license;
  return (
    <>
      <section className="panel card">
        <p>
          <StateBadge state={state} /> <strong>{words.licenseKind(kind)}</strong>
        </p>
        <ul className="soft">
          <li>{usesLimit === null ? words.usesFree : words.usesOf(uses, usesLimit)}</li>
          <li>{expiresAt === null ? words.holdsForever : words.holdsUntil(dateTime(expiresAt))}</li>
          <li>{commercial ? words.commercial : words.notCommercial}</li>
          <li>{transferable ? words.transferable : words.notTransferable}</li>
        </ul>
        <Download id={id} />
      </section>
      {usesLimit !== null && <Redeem license={license} />}
      {activationsLimit !== 0 && <Activations license={license} />}
    </>
  );
}

function Download({ id }: { id: string }) {
  const toasts = useToasts();
  const download = useMutation({
    mutationFn: () => call('POST /v1/licenses/{id}/download', { path: { id } }),
    onSuccess: ({ url }) => {
      const { pathname, origin } = new URL(url, location.origin);
      if (origin === location.origin) location.assign(pathname);
      else toasts.failed(new Error(words.elsewhere));
    },
    onError: toasts.failed,
  });
  return (
    <p>
      <Button kind="main" disabled={download.isPending} onClick={() => download.mutate()}>
        {words.download}
      </Button>
    </p>
  );
}

/** Each use under an id of its own; the same id again is the same use. */
function Redeem({ license }: { license: Thing<'License'> }) {
  const [redemptionId, setId] = useState(newKey);
  const toasts = useToasts();
  const redeem = useWrite('POST /v1/licenses/{id}/redeem', { touches: ['GET /v1/licenses/{id}', 'GET /v1/licenses'] });
  const press = () =>
    redeem.mutate(
      { path: { id: license.id }, body: { redemptionId } },
      { onSuccess: ({ use }) => toasts.done(words.redeemed(use)) },
    );
  return (
    <Section title={words.redeem}>
      <div className="form">
        <TextField
          label={words.redemptionId}
          hint={words.redemptionHint}
          value={redemptionId}
          maxLength={100}
          onChange={(event) => setId(event.target.value)}
          error={redeem.error?.message}
        />
        <div className="form-acts">
          <Button kind="main" disabled={redeem.isPending || redemptionId === ''} onClick={press}>
            {words.redeemOne}
          </Button>
        </div>
        <p role="status">{redeem.data && words.redeemed(redeem.data.use)}</p>
      </div>
    </Section>
  );
}

function Activations({ license }: { license: Thing<'License'> }) {
  const { id } = license;
  const activations = useApi('GET /v1/licenses/{id}/activations', { path: { id } });
  const [place, setPlace] = useState('');
  const decisions = useDecisions();
  const toasts = useToasts();
  const touches = ['GET /v1/licenses/{id}/activations', 'GET /v1/licenses/{id}'] as const;
  const activate = useWrite('POST /v1/licenses/{id}/activate', { touches });
  const end = useWrite('POST /v1/licenses/{id}/deactivate', { touches });
  return (
    <Section title={words.activations}>
      <p className="soft">{words.activationsText}</p>
      <Shown
        of={activations}
        isEmpty={({ items }) => items.length === 0}
        empty={<p className="faint">{words.noActivations}</p>}
      >
        {({ items }) => (
          <Table
            caption={words.activations}
            rows={items}
            keyOf={({ activationId }) => activationId}
            columns={[
              { title: words.place, cell: (row) => row.place },
              { title: words.since, cell: ({ activatedAt }) => <Time at={activatedAt} /> },
              {
                title: words.end,
                cell: ({ activationId }) => (
                  <Button
                    disabled={end.isPending}
                    onClick={() => end.mutate({ path: { id }, body: { activationId } }, { onError: toasts.failed })}
                  >
                    {words.endActivation}
                  </Button>
                ),
              },
            ]}
          />
        )}
      </Shown>
      <div className="form">
        <TextField
          label={words.newPlace}
          hint={words.placeHint}
          value={place}
          maxLength={120}
          error={activate.error?.message}
          onChange={(event) => setPlace(event.target.value)}
        />
        <div className="form-acts">
          <Button
            disabled={activate.isPending || place.trim() === ''}
            onClick={() =>
              // Pressing twice takes one place; a place that was ended is activated under a new id.
              activate.mutate(
                {
                  path: { id },
                  body: { activationId: `place-${decisions.keyFor(place.trim())}`, place: place.trim() },
                },
                {
                  onSuccess: () => {
                    decisions.over(place.trim());
                    setPlace('');
                  },
                },
              )
            }
          >
            {words.activate}
          </Button>
        </div>
      </div>
    </Section>
  );
}

/** Verified by WebCrypto with keys that were pinned; after the first fetch no network is asked. */
function Offline({ licenseId, license }: { licenseId: string; license: Thing<'License'> | undefined }) {
  const [proof, setProof] = useState<Proof | undefined>(() => keptProof(licenseId));
  const [verdict, setVerdict] = useState<Verdict>();
  const toasts = useToasts();
  const queries = useQueryClient();
  const keep = useMutation({
    mutationFn: async (held: Thing<'License'>) => {
      const activation = held.activationsLimit === 0 && held.seatsLimit === null ? null : await activationOf(held);
      return keepProof({ licenseId, issuer: held.issuer, package: held.packageHash, activation });
    },
    onSuccess: async (kept) => {
      setProof(kept);
      setVerdict(undefined);
      toasts.done(words.kept);
      await queries.invalidateQueries({ queryKey: ['GET /v1/licenses/{id}/activations'] });
    },
    onError: toasts.failed,
  });
  const verify = useMutation({
    mutationFn: (kept: Proof) => verifyProof(licenseId, kept),
    onSuccess: setVerdict,
    onError: toasts.failed,
    networkMode: 'always',
  });
  const pin = useMutation({ mutationFn: pinKeys, onError: toasts.failed, onSuccess: () => setVerdict(undefined) });
  return (
    <Section title={words.offline}>
      <div className="panel card">
        <p className="soft">{words.offlineText}</p>
        {!canVerify && <p>{words.noCrypto}</p>}
        <div className="form-acts">
          {license && (
            <Button disabled={keep.isPending} onClick={() => keep.mutate(license)}>
              {proof ? words.keepAgain : words.keep}
            </Button>
          )}
          {proof && canVerify && (
            <Button kind="main" disabled={verify.isPending} onClick={() => verify.mutate(proof)}>
              {words.verify}
            </Button>
          )}
        </div>
        <div role="status">
          {verdict && (
            <p className="market-verdict" data-code={verdict.code}>
              <Badge tone={verdict.holds ? 'good' : verdict.code === 'REDEEM_ONLINE' ? 'info' : 'bad'}>
                {verdict.code}
              </Badge>{' '}
              {verdict.explanation}
            </p>
          )}
        </div>
        {proof && (
          <details>
            <summary>{words.pinned}</summary>
            <ul>
              {pinnedKeys(proof.issuer).map(({ keyId }) => (
                <li key={keyId}>
                  <code>{keyId}</code>
                </li>
              ))}
            </ul>
            <p className="soft">{words.pinText}</p>
            <Button disabled={pin.isPending} onClick={() => pin.mutate(proof.issuer)}>
              {words.pinAgain}
            </Button>
          </details>
        )}
      </div>
    </Section>
  );
}

/** A file of a license whose places are counted is of one of them: this browser's, where it has none yet. */
async function activationOf({ id }: Thing<'License'>): Promise<{ id: string; place: string }> {
  const { items } = await call('GET /v1/licenses/{id}/activations', { path: { id } });
  const known = items[0];
  if (known) return { id: known.activationId, place: known.place };
  const made = await call('POST /v1/licenses/{id}/activate', {
    path: { id },
    body: { activationId: `browser-${newKey()}`, place: words.thisBrowser },
  });
  return { id: made.activationId, place: made.place };
}
