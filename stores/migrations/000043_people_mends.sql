-- Of a license that was given by hand: what was asked for under its key. Null: it was sold, or nobody will ask again.
alter table licenses add column request_hash bytea;

-- Since when a delivery stands in the line of its endpoint: that, or its owner, had as many under way as one may.
alter table webhook_deliveries add column waits_since timestamptz;
create index webhook_deliveries_line on webhook_deliveries (webhook_id, waits_since) where waits_since is not null;
-- What an owner has under way, and what of it a person asked for again: both few, among all that was ever delivered.
create index webhook_deliveries_sending on webhook_deliveries (owner_id) where state = 'sending';
create index webhook_deliveries_again on webhook_deliveries (owner_id) where ended_at is null and redeliveries > 0;
