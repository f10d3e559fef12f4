-- Why who runs the marketplace has taken a listing off; its seller cannot put it on offer again before that is lifted.
alter table listings add column taken_down text;
-- A deleted seller sells nothing.
update listings set state = 'retired', version = version + 1, changed_at = now()
  where state <> 'retired' and owner_id in (select id from users where deleted_at is not null);
