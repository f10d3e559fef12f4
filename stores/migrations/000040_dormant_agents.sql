-- An agent that a creator brought along to sell: it is kept and packed, and nothing of the fleet works for it.
alter table agents drop constraint agents_state_check;
alter table agents add constraint agents_state_check check (state in ('active', 'parked', 'dormant', 'retired'));
