-- Whispers (requests for a new persona) that a message or an item of a source makes.

-- Whoever said it asked that the words also whisper, once they are answered.
alter table messages add column whisper boolean not null default false;

-- How many a source has made of late.
create index whispers_of_sources on whispers (owner_id, requested_by, received_at) where source = 'source';
