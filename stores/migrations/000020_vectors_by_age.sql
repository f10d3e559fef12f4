-- Retention walks vectors by age, without reading them: all that it compares stands in the index.
create index embeddings_age on embeddings (created_at, owner_id, model, content_hash);
