-- Host names at which web space is served: one owner at a time. After a purge a name stays reserved for a while, as
-- addresses do.
CREATE TABLE prov.web_name (
  name           text PRIMARY KEY,
  subscriber_id  bigint REFERENCES prov.subscriber,
  reserved_until timestamptz,
  CHECK (num_nonnulls(subscriber_id, reserved_until) = 1)
);
CREATE INDEX web_name_subscriber ON prov.web_name (subscriber_id) WHERE subscriber_id IS NOT NULL;
