-- Requests of services by OpenAI's protocol while somebody waits for them: deleted as they are answered, so that nothing of
-- what services say is kept.
create table gateway_requests (
  id text primary key,
  owner_id text not null references users (id) on delete cascade,
  -- The token that asked; it may be gone before the request is.
  token_id text not null,
  model_id text not null,
  -- What is asked, checked. Text and not jsonb, also of the answer: it may hold NUL, or half a surrogate pair.
  asked json not null,
  state text not null default 'open' check (state in ('open', 'answered', 'failed')),
  -- The last attempt that a machine has begun.
  attempt integer not null default 0,
  -- The one attempt that may show the reader of a stream its text; null: none has yet.
  shown_attempt integer,
  machine_id text,
  answer json,
  error_code text,
  error_message text,
  created_at timestamptz not null default now()
);
create index gateway_requests_created on gateway_requests (created_at);

create function notify_gateway_requests() returns trigger language plpgsql as $$
begin
  perform pg_notify('gateway_requests', '');
  return null;
end $$;
create trigger gateway_requests_notify after update of state on gateway_requests
  for each statement execute function notify_gateway_requests();

-- What a service asks for by itself is no agent's.
alter table token_spends alter column agent_id drop not null, alter column archetype drop not null;
