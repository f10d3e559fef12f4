-- When a service first stood; null: never, also where it was asked for. Of those from before it is known as far as the events reach back,
-- and of what was stopped it is taken for so.
alter table service_runs add column first_started_at timestamptz;
update service_runs r set first_started_at = r.changed_at
  where r.machine_id is not null or r.state in ('started', 'stopping', 'stopped')
    or exists (select from events e where e.owner_id = r.owner_id and e.type = 'service.started' and e.subject = r.service_id);

-- When a request of a service came to its end: a row that nobody has read soon after has nobody who waits for it.
alter table gateway_requests add column ended_at timestamptz;
update gateway_requests set ended_at = now() where state <> 'open';
create index gateway_requests_ended on gateway_requests (ended_at) where ended_at is not null;
