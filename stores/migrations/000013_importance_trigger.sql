-- What moves an agent enough makes it reflect before its Schedule does.

alter table agents
  -- 0: by Schedule and by call alone.
  add column importance_threshold integer not null default 150 check (importance_threshold >= 0),
  -- Σ importance of what happened to it and was told in time, since the last run that ended well began.
  add column importance_sum bigint not null default 0 check (importance_sum >= 0);

alter table runs
  -- The agent's sum when the run began: what the run takes off it when it ends well.
  add column importance_sum bigint not null default 0;
