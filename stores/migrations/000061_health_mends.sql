-- Since when a run is parked: counted from its beginning, the alert of parked work told of runs that had only just been parked.
alter table runs add column parked_at timestamptz;
update runs set parked_at = coalesce(started_at, created_at) where state = 'parked';

-- When a drop was first sent on its way: before that it has no workflow, and nothing to link to.
alter table drops add column sent_at timestamptz;
update drops set sent_at = coalesce(approved_at, begun_at, publish_at, created_at)
  where state not in ('draft', 'awaiting_approval', 'canceled') or (state = 'canceled' and (approved_at is not null or begun_at is not null));
