-- What each agent tells of its engine: sessions in progress, and whether it is ready.

-- NULL: no engine, or an agent that does not tell.
ALTER TABLE prov.host_progress ADD COLUMN sessions bigint, ADD COLUMN ready boolean;
