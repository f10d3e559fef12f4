-- What is made after a rotation is signed anew: a key that leaked must not go on in the files that are given away.
alter table loop_packages drop constraint loop_packages_owner_id_content_hash_key,
  add constraint loop_packages_once unique (owner_id, content_hash, key_id);
-- Texts are looked for in archives; compressed, each look would unpack them whole.
alter table loop_packages alter column archive set storage external;
