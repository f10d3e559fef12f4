-- What a provider outside does with the money of a purchase. The ledger is the truth of what that makes of it.

-- One payment of a purchase at its provider, written before the provider is asked.
create table payments (
  purchase_id text primary key,
  -- Whose books its money goes through.
  owner_id text not null references users (id),
  buyer_id text not null references users (id),
  provider text not null check (provider in ('stripe')),
  amount bigint not null check (amount between 1 and 9007199254740991),
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  state text not null default 'opened' check (state in ('opened', 'authorized', 'captured', 'canceled')),
  -- Nobody can pay after it. Part of what the provider is asked for, so it never moves.
  expires_at timestamptz not null,
  checkout_id text,
  checkout_url text,
  payment_id text,
  charge_id text,
  -- What the provider keeps, as it stands in its books; in the currency that it settles in.
  fee_id text,
  fee_amount bigint check (fee_amount between -9007199254740991 and 9007199254740991),
  fee_currency text,
  opened_at timestamptz not null default now(),
  changed_at timestamptz not null default now(),
  unique (provider, checkout_id),
  unique (provider, payment_id),
  check ((fee_id is null) = (fee_amount is null) and (fee_id is null) = (fee_currency is null))
);

-- What providers have told, each event once. What it says is looked up anew, so that only its object is kept.
create table payment_events (
  provider text not null check (provider in ('stripe')),
  id text not null,
  -- Who runs the installation whose keys the provider has.
  owner_id text not null references users (id),
  type text not null,
  -- null: nothing that is acted on.
  object_kind text check (object_kind in ('checkout', 'payment', 'refund', 'dispute')),
  object_id text,
  happened_at timestamptz not null,
  received_at timestamptz not null default now(),
  settled_at timestamptz,
  -- What came of it, for people.
  outcome text not null default '',
  primary key (provider, id),
  check ((object_kind is null) = (object_id is null))
);
create index payment_events_received on payment_events (received_at);

-- Money that goes back through a provider: written before it is asked, or when it tells of one that was made there.
create table provider_refunds (
  id text primary key,
  owner_id text not null references users (id),
  purchase_id text not null references payments (purchase_id),
  amount bigint not null check (amount between 1 and 9007199254740991),
  currency text not null,
  reason text not null,
  state text not null check (state in ('pending', 'done', 'failed')),
  provider_refund_id text unique,
  -- Of the amount: what was left of the sale when the provider had given it back. The rest is the platform's loss.
  posted bigint not null default 0 check (posted between 0 and amount),
  failure text not null default '',
  made_by text not null,
  made_at timestamptz not null default now(),
  ended_at timestamptz,
  check ((state = 'pending') = (ended_at is null))
);
create index provider_refunds_owner on provider_refunds (owner_id, id desc);
create index provider_refunds_purchase on provider_refunds (purchase_id);

create table disputes (
  -- The provider's.
  id text primary key,
  provider text not null check (provider in ('stripe')),
  owner_id text not null references users (id),
  purchase_id text not null references payments (purchase_id),
  amount bigint not null check (amount between 1 and 9007199254740991),
  currency text not null,
  reason text not null,
  state text not null check (state in ('open', 'won', 'lost')),
  -- Of the amount: what was left of the sale to be set aside.
  reserved bigint not null check (reserved between 0 and amount),
  opened_at timestamptz not null default now(),
  ended_at timestamptz,
  check ((state = 'open') = (ended_at is null))
);
create index disputes_owner on disputes (owner_id, id desc);
create index disputes_purchase on disputes (purchase_id);
