-- What a provider took beyond what was left of a sale: the platform's loss, until something covers it.

alter table ledger_transfers drop constraint ledger_transfers_kind_check;
alter table ledger_transfers add constraint ledger_transfers_kind_check
  check (kind in ('grant', 'hold', 'release', 'sale', 'fee_taken', 'fee_returned', 'refund', 'dispute_opened', 'dispute_won', 'dispute_lost', 'beyond_taken', 'beyond_returned', 'beyond_covered', 'payout_started', 'payout_paid', 'payout_failed', 'blessings_shared'));

-- As before; what covers a dispute or refund later is taken back of the parties too.
create or replace function post_ledger_entry() returns trigger language plpgsql as $$
declare
  transfer ledger_transfers;
  account ledger_accounts;
begin
  select * into transfer from ledger_transfers where id = new.transfer_id;
  if transfer.xid is distinct from pg_current_xact_id() then
    raise exception 'transfer % is not of this transaction', new.transfer_id
      using errcode = 'restrict_violation', constraint = 'ledger_transfers_closed';
  end if;
  if exists (select from ledger_entries where transfer_id = new.transfer_id and ordinal >= new.ordinal) then
    raise exception 'entry % of transfer % comes after one that follows it', new.ordinal, new.transfer_id
      using errcode = 'check_violation', constraint = 'ledger_entries_in_order';
  end if;
  update ledger_accounts set balance = balance + new.amount, version = version + 1
    where id = new.account_id returning * into account;
  if account.owner_id is distinct from transfer.owner_id then
    raise exception 'account % is not of the books of transfer %', new.account_id, new.transfer_id
      using errcode = 'check_violation', constraint = 'ledger_entries_one_books';
  end if;
  if new.amount < 0 and account.balance < 0 and account.kind in ('creator', 'blessings')
    and transfer.kind not in ('refund', 'dispute_opened', 'beyond_covered') then
    raise exception 'a % leaves % account % at %', transfer.kind, account.kind, account.id, account.balance
      using errcode = 'check_violation', constraint = 'ledger_entries_not_overdrawn';
  end if;
  new.balance := account.balance;
  new.version := account.version;
  return new;
end $$;

-- Of a purchase nobody has given back more than it got, and the payers have got back no more than they paid. Fees, and what was
-- taken beyond, are between provider and platform and no part of that; of what was taken beyond, no more comes back than went.
create or replace function check_ledger_purchase() returns trigger language plpgsql as $$
begin
  perform check_ledger_transfer(new.id);
  if new.purchase_id is not null and exists (
    select from ledger_transfers t join ledger_entries e on e.transfer_id = t.id join ledger_accounts a on a.id = e.account_id,
      lateral (select case when t.kind in ('beyond_taken', 'beyond_returned') then a.kind || ' beyond'
        when a.kind in ('outside', 'credits') then '' else a.id end as party) side
    where t.purchase_id = new.purchase_id and t.owner_id = new.owner_id and t.kind not in ('fee_taken', 'fee_returned')
    group by party having sum(e.amount) * (case when party in ('', 'platform beyond') then -1 else 1 end) < 0
  ) then
    raise exception 'transfer % takes more of purchase % than there is', new.id, new.purchase_id
      using errcode = 'check_violation', constraint = 'ledger_transfers_within_purchase';
  end if;
  return null;
end $$;
