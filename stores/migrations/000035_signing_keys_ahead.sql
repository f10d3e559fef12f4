-- A key may be published before it signs, so that who verifies offline has pinned it by then; one that leaked is told as such.
alter table signing_keys
  -- Absent: it is published ahead of its turn.
  add column signs_since timestamptz,
  -- Nothing that it signed is to be trusted any more; one that only retired goes on verifying.
  add column revoked_at timestamptz;
update signing_keys set signs_since = made_at;
alter table signing_keys add constraint signing_keys_revoked check (revoked_at is null or retired_at is not null);
drop index signing_keys_live;
create unique index signing_keys_live on signing_keys (owner_id) where signs_since is not null and retired_at is null;
create unique index signing_keys_next on signing_keys (owner_id) where signs_since is null and retired_at is null;
