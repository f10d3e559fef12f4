-- What is offered, and what was bought: docs/marketplace.md.
create table listings (
  id text primary key,
  -- Who sells.
  owner_id text not null references users (id),
  -- The one version of the package that is sold.
  package_id text not null references loop_packages (id),
  content_hash bytea not null check (octet_length(content_hash) = 32),
  title text not null,
  summary text not null,
  -- Minor units of the currency.
  amount bigint not null check (amount between 1 and 9007199254740991),
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  terms_version text not null,
  -- Kinds of licenses that are sold.
  kinds text[] not null check (cardinality(kinds) >= 1),
  -- Who shares the creator part, [{userId, weight}]: the order breaks ties.
  creators jsonb not null,
  -- What the seller says of models whose license nobody knows; empty: nothing.
  model_statement text not null default '',
  state text not null default 'draft' check (state in ('draft', 'listed', 'paused', 'retired')),
  -- Counts every change: what If-Match compares.
  version integer not null default 1,
  -- Of the request that made it: another one under its key is refused.
  request_hash bytea not null,
  created_at timestamptz not null default now(),
  changed_at timestamptz not null default now()
);
create index listings_owner on listings (owner_id, id desc);
create index listings_offered on listings (id desc) where state = 'listed';

create table purchases (
  -- Made of the buyer's Idempotency-Key before anything else.
  id text primary key,
  -- Who buys.
  owner_id text not null references users (id),
  seller_id text not null references users (id),
  -- Whose books the money goes through: who runs the marketplace.
  books_id text not null references users (id),
  listing_id text not null references listings (id),
  -- The agent of the buyer that asked for it, on its owner's budget.
  buyer_agent_id text references agents (id),
  request_hash bytea not null,
  -- Who takes the money: credits, or a provider.
  payment text not null check (payment ~ '^[a-z][a-z0-9_]{0,30}$'),
  state text not null check (state in ('pending', 'authorized', 'captured', 'completed', 'canceled', 'failed')),
  reason_code text not null default '',
  reason text not null default '',
  -- All that is below is as it was when the purchase began: a change of the listing never touches it.
  listing_version integer not null,
  terms_version text not null,
  -- As it was asked for: one that is none is refused, and stands here all the same.
  license_kind text not null,
  package_id text not null references loop_packages (id),
  content_hash bytea not null check (octet_length(content_hash) = 32),
  amount bigint not null check (amount between 1 and 9007199254740991),
  tax bigint not null check (tax >= 0 and tax <= amount),
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  -- Weights and creators, and what comes of them: domain/shares.ts.
  terms jsonb not null,
  split jsonb not null,
  -- Issued in the same transaction as the row comes to say so.
  license_id text unique references licenses (id) deferrable initially deferred,
  -- The provider's own name of the payment.
  payment_reference text,
  made_by text not null,
  created_at timestamptz not null default now(),
  ended_at timestamptz,
  check ((state in ('completed', 'canceled', 'failed')) = (ended_at is not null)),
  check ((state in ('canceled', 'failed')) = (reason_code <> '')),
  check (license_id is not null or state <> 'completed')
);
create index purchases_owner on purchases (owner_id, id desc);
create index purchases_seller on purchases (seller_id, id desc);
create index purchases_listing on purchases (listing_id);

create table purchase_refunds (
  id text primary key,
  purchase_id text not null references purchases (id),
  -- Who bought, and gets it back.
  owner_id text not null references users (id),
  amount bigint not null check (amount between 1 and 9007199254740991),
  reason text not null,
  -- Given back although the license was used or passed on.
  forced boolean not null,
  -- Nothing was left of the sale then, so the license was revoked.
  whole boolean not null,
  request_hash bytea not null,
  made_by text not null,
  at timestamptz not null default now()
);
create index purchase_refunds_purchase on purchase_refunds (purchase_id, id);
