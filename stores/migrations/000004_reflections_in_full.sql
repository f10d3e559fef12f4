-- Reflections are drawn in up to five model calls, each of which can be shown again, and are memories themselves.

alter table agents
  -- seq of the newest memory that no reflection made: only such memories make a run due.
  add column lived_seq bigint not null default 0;
update agents set lived_seq =
  (select coalesce(max(m.seq), 0) from memories m where m.agent_id = agents.id and m.kind <> 'reflection');

alter table memories
  -- 0: lived; a reflection lies one above the deepest of what it rests on.
  add column depth smallint not null default 0;
update memories set depth = 1 where kind = 'reflection';
alter table memories add check ((kind = 'reflection') = (depth > 0));
create index memories_reflections on memories (agent_id, seq) where kind = 'reflection';

alter table runs
  add column model_calls smallint not null default 0,
  add column prompt_tokens integer,
  -- Insights that were not stored, by why, and single ids of evidence that named nothing that was shown.
  add column dropped_duplicates smallint not null default 0,
  add column dropped_empty smallint not null default 0,
  add column dropped_without_evidence smallint not null default 0,
  add column dropped_too_deep smallint not null default 0,
  add column dropped_other smallint not null default 0,
  add column dropped_evidence integer not null default 0;

-- The calls of a run: what is needed to build each prompt again, as long as a reflection that came of it is there.
create table run_calls (
  run_id text not null references runs (id) on delete cascade,
  ordinal smallint not null,
  step text not null,
  source text not null,
  model_id text not null,
  machine_id text not null references machines (id),
  prompt_version text not null,
  seed bigint,
  -- 2: the first answer did not follow the schema and was asked for once more.
  model_calls smallint not null,
  tokens integer not null,
  prompt_tokens integer,
  seconds double precision not null,
  -- Agent, question, ids with scores in the order shown; no text of memories.
  prompt jsonb not null,
  primary key (run_id, ordinal)
);

alter table reflections
  add column memory_id text references memories (id),
  add column call smallint,
  add column seed bigint;

-- What was made before becomes a memory under the same UUID.
create temporary table made on commit drop as
  select r.id, r.owner_id, r.agent_id, r.text, r.created_at,
    row_number() over (partition by r.agent_id order by r.created_at, r.ordinal) as n,
    coalesce((select ceil(avg(m.importance)) from reflection_evidence e join memories m on m.id = e.memory_id
      where e.reflection_id = r.id), 5)::smallint as importance
  from reflections r;
insert into memories (id, owner_id, agent_id, seq, rev, kind, text, importance, source, external_key, occurred_at, recorded_at, content_hash, depth)
  select 'mem_' || substr(made.id, 5), made.owner_id, made.agent_id, a.memory_seq + made.n, a.memory_rev + made.n, 'reflection',
    made.text, made.importance, 'reflection', made.id, made.created_at, made.created_at, sha256(convert_to(made.text, 'UTF8')), 1
  from made join agents a on a.id = made.agent_id;
update agents set memory_seq = memory_seq + counted.n, memory_rev = memory_rev + counted.n
  from (select agent_id, count(*) as n from made group by agent_id) counted where counted.agent_id = agents.id;
update reflections set memory_id = 'mem_' || substr(id, 5);
alter table reflections alter column memory_id set not null, add unique (memory_id);

-- Results of steps held texts for as long as they were kept; once a run has ended nobody needs them.
update step_results s set result = jsonb_build_object('tokens', coalesce(s.result->'tokens', '0'))
  where exists (select from runs r where r.id = s.work_id and r.ended_at is not null);
-- A run that has its result and is not stored yet goes on from the new form.
update step_results s set result = jsonb_build_object(
    'insights', (select coalesce(jsonb_agg(i || '{"call": 0}'), '[]') from jsonb_array_elements(s.result->'insights') i),
    'refused', '[]'::jsonb, 'droppedEvidence', 0, 'unread', jsonb_array_length(s.result->'left'), 'tokens', s.result->'tokens',
    'calls', jsonb_build_array(jsonb_build_object('step', s.step, 'source', s.result->'source', 'modelId', s.result->'modelId',
      'machineId', s.result->'machineId', 'promptVersion', s.result->'promptVersion', 'seed', null, 'modelCalls', 1,
      'tokens', s.result->'tokens', 'seconds', s.result->'seconds', 'prompt', jsonb_build_object('agent', null, 'question', null,
        'unshown', jsonb_array_length(s.result->'left'), 'repair', null,
        'shown', (select coalesce(jsonb_agg(jsonb_build_object('memoryId', u)), '[]') from jsonb_array_elements(s.result->'used') u)))))
  from runs r where r.id = s.work_id and r.ended_at is null and s.step = 'insights' and s.result ? 'used';
