-- The ledger: append-only double entry. An account's balance and version move with each entry and in no other way.

create table ledger_accounts (
  id text primary key,
  -- Whose books these are: who runs the marketplace.
  owner_id text not null references users (id),
  kind text not null check (kind in ('outside', 'credits', 'escrow', 'creator', 'platform', 'blessings', 'tax', 'fees', 'disputes', 'payouts')),
  -- A user, a provider, or empty for what the platform holds itself.
  holder text not null,
  user_id text references users (id)
    generated always as (case when kind in ('credits', 'escrow', 'creator', 'disputes', 'payouts') then holder end) stored,
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  balance bigint not null default 0,
  version bigint not null default 0,
  created_at timestamptz not null default now(),
  unique (owner_id, kind, holder, currency),
  unique (id, currency),
  check ((kind in ('platform', 'blessings', 'tax')) = (holder = '')),
  -- Minor units are safe integers of JavaScript: beyond them they would be rounded where they are read.
  check (balance between -9007199254740991 and 9007199254740991),
  check (version between 0 and 9007199254740991),
  constraint ledger_accounts_not_overdrawn
    check (balance >= 0 or kind in ('outside', 'creator', 'platform', 'blessings', 'fees'))
);
create index ledger_accounts_user on ledger_accounts (user_id) where user_id is not null;

create table ledger_transfers (
  id text primary key check (id ~ '^[a-z]+(:[A-Za-z0-9_.-]+)+$' and length(id) <= 200),
  seq bigint generated always as identity unique,
  owner_id text not null references users (id),
  kind text not null check (kind in ('grant', 'hold', 'release', 'sale', 'fee_taken', 'fee_returned', 'refund', 'dispute_opened', 'dispute_won', 'dispute_lost', 'payout_started', 'payout_paid', 'payout_failed', 'blessings_shared')),
  currency text not null,
  purchase_id text,
  reason text not null default '',
  -- A token, or the workflow that posted.
  made_by text not null,
  -- Of everything that makes it the same posting again.
  content_hash bytea not null,
  at timestamptz not null default clock_timestamp(),
  -- Entries come in with their transfer, and never later.
  xid xid8 not null default pg_current_xact_id(),
  unique (id, currency)
);
create index ledger_transfers_owner on ledger_transfers (owner_id, seq);
create index ledger_transfers_purchase on ledger_transfers (purchase_id, seq) where purchase_id is not null;

create table ledger_entries (
  transfer_id text not null,
  ordinal smallint not null check (ordinal >= 1),
  account_id text not null,
  currency text not null,
  amount bigint not null check (amount <> 0 and amount between -9007199254740991 and 9007199254740991),
  -- Of the account with this entry; the trigger sets both.
  balance bigint not null default 0,
  version bigint not null default 0,
  primary key (transfer_id, ordinal),
  unique (transfer_id, account_id),
  unique (account_id, version),
  foreign key (transfer_id, currency) references ledger_transfers (id, currency),
  foreign key (account_id, currency) references ledger_accounts (id, currency)
);

-- Moves the account, under its row's lock. Only what the ledger takes back may leave a creator or the pool owing.
create function post_ledger_entry() returns trigger language plpgsql as $$
declare
  transfer ledger_transfers;
  account ledger_accounts;
begin
  select * into transfer from ledger_transfers where id = new.transfer_id;
  if transfer.xid is distinct from pg_current_xact_id() then
    raise exception 'transfer % is not of this transaction', new.transfer_id
      using errcode = 'restrict_violation', constraint = 'ledger_transfers_closed';
  end if;
  update ledger_accounts set balance = balance + new.amount, version = version + 1
    where id = new.account_id returning * into account;
  if account.owner_id is distinct from transfer.owner_id then
    raise exception 'account % is not of the books of transfer %', new.account_id, new.transfer_id
      using errcode = 'check_violation', constraint = 'ledger_entries_one_books';
  end if;
  if new.amount < 0 and account.balance < 0 and account.kind in ('creator', 'blessings')
    and transfer.kind not in ('refund', 'dispute_opened') then
    raise exception 'a % leaves % account % at %', transfer.kind, account.kind, account.id, account.balance
      using errcode = 'check_violation', constraint = 'ledger_entries_not_overdrawn';
  end if;
  new.balance := account.balance;
  new.version := account.version;
  return new;
end $$;
create trigger ledger_entries_post before insert on ledger_entries
  for each row execute function post_ledger_entry();

create function refuse_change_of_ledger() returns trigger language plpgsql as $$
begin
  raise exception '% is append-only', tg_table_name using errcode = 'restrict_violation';
end $$;
create trigger ledger_entries_append_only before update or delete on ledger_entries
  for each row execute function refuse_change_of_ledger();
create trigger ledger_entries_not_emptied before truncate on ledger_entries
  for each statement execute function refuse_change_of_ledger();
create trigger ledger_transfers_append_only before update or delete on ledger_transfers
  for each row execute function refuse_change_of_ledger();
create trigger ledger_transfers_not_emptied before truncate on ledger_transfers
  for each statement execute function refuse_change_of_ledger();
create trigger ledger_accounts_kept before delete on ledger_accounts
  for each row execute function refuse_change_of_ledger();
create trigger ledger_accounts_not_emptied before truncate on ledger_accounts
  for each statement execute function refuse_change_of_ledger();

-- At depth 2 it is the trigger of an entry that moves it.
create function refuse_moving_account() returns trigger language plpgsql as $$
begin
  if pg_trigger_depth() < 2 or (new.id, new.owner_id, new.kind, new.holder, new.currency, new.created_at)
    is distinct from (old.id, old.owner_id, old.kind, old.holder, old.currency, old.created_at) then
    raise exception 'an account of the ledger moves by its entries alone' using errcode = 'restrict_violation';
  end if;
  return new;
end $$;
create trigger ledger_accounts_move_by_entries before update on ledger_accounts
  for each row execute function refuse_moving_account();
create function refuse_filled_account() returns trigger language plpgsql as $$
begin
  raise exception 'an account of the ledger opens empty' using errcode = 'restrict_violation';
end $$;
create trigger ledger_accounts_open_empty before insert on ledger_accounts
  for each row when (new.balance <> 0 or new.version <> 0) execute function refuse_filled_account();

-- At commit a transfer adds up to zero; its entries are of its currency, by foreign key.
create function check_ledger_transfer(checked text) returns void language plpgsql as $$
declare
  entries integer;
  total numeric;
begin
  select count(*), coalesce(sum(amount), 0) into entries, total from ledger_entries where transfer_id = checked;
  if entries < 2 or total <> 0 then
    raise exception 'transfer % has % entries that add up to %', checked, entries, total
      using errcode = 'check_violation', constraint = 'ledger_transfers_add_up';
  end if;
end $$;
create function check_ledger_entry() returns trigger language plpgsql as $$
begin
  perform check_ledger_transfer(new.transfer_id);
  return null;
end $$;
-- For who has constraints checked before the last entry is in.
create constraint trigger ledger_entries_add_up after insert on ledger_entries
  deferrable initially deferred for each row execute function check_ledger_entry();

-- Of a purchase nobody has given back more than it got, and the payers have got back no more than they paid: the provider's
-- fees are no part of that.
create function check_ledger_purchase() returns trigger language plpgsql as $$
begin
  perform check_ledger_transfer(new.id);
  if new.purchase_id is not null and exists (
    select from ledger_transfers t join ledger_entries e on e.transfer_id = t.id join ledger_accounts a on a.id = e.account_id,
      lateral (select case when a.kind in ('outside', 'credits') then '' else a.id end as party) side
    where t.purchase_id = new.purchase_id and t.owner_id = new.owner_id and t.kind not in ('fee_taken', 'fee_returned')
    group by party having sum(e.amount) * (case when party = '' then -1 else 1 end) < 0
  ) then
    raise exception 'transfer % takes more of purchase % than there is', new.id, new.purchase_id
      using errcode = 'check_violation', constraint = 'ledger_transfers_within_purchase';
  end if;
  return null;
end $$;
create constraint trigger ledger_transfers_add_up after insert on ledger_transfers
  deferrable initially deferred for each row execute function check_ledger_purchase();

-- Where the app's role owns the tables and is no superuser, it may not even try; the triggers hold for everybody.
revoke update, delete, truncate on ledger_entries from current_user;
-- Keys of entries lock rows of these two, which takes the right to update.
revoke delete, truncate on ledger_transfers, ledger_accounts from current_user;

-- What each pass over the books has found.
create table ledger_reconciliations (
  owner_id text not null references users (id),
  period text not null,
  made_at timestamptz not null default now(),
  accounts bigint not null,
  transfers bigint not null,
  entries bigint not null,
  -- How many places do not add up, and the first of them.
  discrepancies integer not null check (discrepancies >= 0),
  found jsonb not null default '[]',
  primary key (owner_id, period)
);
create index ledger_reconciliations_made on ledger_reconciliations (owner_id, made_at);
