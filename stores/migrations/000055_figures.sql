-- What the gauges of an installation count without reading a table from one end to the other.

create index purchases_ended on purchases (ended_at);
create index deliveries_open on deliveries (channel_id) where ended_at is null;
create index deliveries_unconfirmed on deliveries (id) where state = 'unconfirmed';
create index drops_open on drops (state) where ended_at is null;
create index mails_open on mails (queued_at) where ended_at is null;
create index licenses_state on licenses (state);
