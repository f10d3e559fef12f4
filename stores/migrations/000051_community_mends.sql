-- When the workflow of a drop that is leaving was last begun, or looked for.
alter table drops add column begun_at timestamptz;
update drops set begun_at = now() where state = 'publishing';
alter table drops add check (state <> 'publishing' or begun_at is not null);
create index drops_publishing on drops (begun_at) where state = 'publishing';

-- Replies are no longer read there until a person has looked: the account may post, and not read.
alter table channels add column replies_stopped_at timestamptz;
alter table channels add column replies_stop_reason text not null default '';

-- By how long a sale was held when a day was settled: what was not old enough then is looked at by the next one, however short it is held by now.
alter table ego_settlements add column hold_seconds integer check (hold_seconds >= 0);

-- The list is by owner and time of proposal, and closed ballots are looked for by when, whoever's they are.
drop index ballots_owner;
drop index ballots_closed;
create index ballots_listed on ballots (owner_id, created_at desc, id desc);
create index ballots_by_close on ballots (closed_at) where closed_at is not null;

-- What should have gone on and has not is looked for every few minutes.
create index ballots_under_way on ballots (id) where ended_at is null;
create index guild_invites_due on guild_invites (expires_at) where state = 'pending';
create index compositions_under_way on compositions (created_at) where state = 'composing';
