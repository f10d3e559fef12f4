-- Health of the archive that Postgres of a deployment hands its changes to.

alter table health drop constraint health_subject_kind_check;
alter table health add constraint health_subject_kind_check check (subject_kind in
  ('agent', 'machine', 'worker', 'model_server', 'schedule', 'channel', 'ledger', 'disk', 'backup', 'certificate', 'service', 'token', 'mirror',
   'archive'));
