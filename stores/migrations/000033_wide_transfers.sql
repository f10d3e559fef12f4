-- A transfer of many entries, as where a pool is shared out: adding all of them up for each of them took time by their square.
alter table ledger_entries alter column ordinal type integer;

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
    and transfer.kind not in ('refund', 'dispute_opened') then
    raise exception 'a % leaves % account % at %', transfer.kind, account.kind, account.id, account.balance
      using errcode = 'check_violation', constraint = 'ledger_entries_not_overdrawn';
  end if;
  new.balance := account.balance;
  new.version := account.version;
  return new;
end $$;

-- The last entry adds up for all of them; none comes in before another, so there is always a last one that was looked at.
create or replace function check_ledger_entry() returns trigger language plpgsql as $$
begin
  if not exists (select from ledger_entries where transfer_id = new.transfer_id and ordinal > new.ordinal) then
    perform check_ledger_transfer(new.transfer_id);
  end if;
  return null;
end $$;
