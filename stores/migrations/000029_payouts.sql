-- Where creators are paid, and what was paid to them.
create table payout_accounts (
  user_id text primary key references users (id),
  -- Who runs the marketplace, and has set it.
  owner_id text not null references users (id),
  provider text not null check (provider in ('stripe')),
  -- The creator's own account there.
  account text not null,
  set_by text not null,
  changed_at timestamptz not null default now()
);

create table payouts (
  -- Made before the provider is asked, and the same through every try.
  id text primary key,
  -- Whose books it is paid out of.
  owner_id text not null references users (id),
  user_id text not null references users (id),
  -- by_hand: an operator pays, and says so.
  provider text not null check (provider in ('stripe', 'by_hand')),
  account text,
  amount bigint not null check (amount between 1 and 9007199254740991),
  currency text not null,
  state text not null default 'started' check (state in ('started', 'paid', 'failed')),
  -- What the provider, or the operator, calls it.
  reference text,
  reason text not null default '',
  -- The sweep that found it due.
  period text not null,
  started_at timestamptz not null default now(),
  ended_at timestamptz,
  check ((state = 'started') = (ended_at is null)),
  check ((provider = 'by_hand') = (account is null)),
  unique (owner_id, user_id, currency, period)
);
-- One at a time: what is on the way is no longer owed.
create unique index payouts_under_way on payouts (owner_id, user_id, currency) where state = 'started';
create index payouts_owner on payouts (owner_id, id desc);
create index payouts_user on payouts (user_id, id desc);

-- Thanks for a drop, one a day per giver and drop.
create table blessings (
  drop_id text not null,
  -- Whose agent made the drop.
  owner_id text not null references users (id),
  agent_id text not null references agents (id),
  -- A user or an agent.
  giver text not null,
  -- UTC.
  day date not null,
  given_at timestamptz not null default now(),
  -- The sharing of the pool that counted it.
  period text,
  primary key (drop_id, giver, day)
);
create index blessings_uncounted on blessings (given_at) where period is null;

-- What each sharing of the pool gave, whether or not anybody got a unit.
create table blessing_shares (
  owner_id text not null references users (id),
  period text not null,
  blessings bigint not null,
  -- [{currency, pool, shared}]
  shared jsonb not null default '[]',
  made_at timestamptz not null default now(),
  primary key (owner_id, period)
);
