-- Part of what the provider is asked for, so it never moves.
alter table payments add column return_url text not null default '';
alter table payments alter column return_url drop default;
-- What the provider holds, or has taken, as it says itself: where that is not the price, it goes back.
alter table payments add column received_amount bigint check (received_amount between 0 and 9007199254740991);
alter table payments add column received_currency text;
alter table payments add check ((received_amount is null) = (received_currency is null));
alter table payments drop column charge_id;

-- Set before anything of a purchase is undone: what comes to a step after it finds that it is too late.
alter table purchases add column undoing_at timestamptz;

-- Of the books that they are paid out of.
alter table payout_accounts drop constraint payout_accounts_pkey;
alter table payout_accounts add primary key (owner_id, user_id);

-- What has yet to be settled is asked for again, hourly.
create index payment_events_unsettled on payment_events (received_at) where settled_at is null;
create index provider_refunds_pending on provider_refunds (made_at) where state = 'pending';
