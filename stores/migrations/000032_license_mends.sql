-- A redemption is its caller's: the gate of an issuer and the holder may come with the same id, and each is a use.
alter table redemptions add column caller_id text references users (id);
update redemptions set caller_id = owner_id;
alter table redemptions alter column caller_id set not null,
  drop constraint redemptions_pkey,
  add primary key (license_id, caller_id, id);

-- Each file asks how many entries of a revocation list its license may take.
create index activations_listable on activations (license_id, owner_id, files_until) where files_until is not null;
