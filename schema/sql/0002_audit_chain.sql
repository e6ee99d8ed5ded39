-- The audit log becomes a chain: a record's hash covers the record and the hash before it, ids have no gaps, and what
-- was hashed is what is stored (jsonb would print it in another order). server/store/audit_chain.h has the same hash.

CREATE TABLE prov.audit_head (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  id       bigint NOT NULL,   -- of the newest record; 0: none
  hash     bytea NOT NULL CHECK (octet_length(hash) = 32)
);

ALTER TABLE prov.audit
  ALTER COLUMN id DROP IDENTITY,
  ALTER COLUMN before TYPE text USING COALESCE(before::text, ''),
  ALTER COLUMN before SET DEFAULT '',
  ALTER COLUMN before SET NOT NULL,
  ALTER COLUMN after TYPE text USING COALESCE(after::text, ''),
  ALTER COLUMN after SET DEFAULT '',
  ALTER COLUMN after SET NOT NULL,
  ADD COLUMN hash bytea CHECK (octet_length(hash) = 32);

-- Records of before are taken into the chain as they are now, numbered without gaps.
DO $chain$
DECLARE
  record prov.audit%ROWTYPE;
  number bigint := 0;
  chain  bytea := decode(repeat('00', 32), 'hex');
  part   text;
BEGIN
  FOR record IN SELECT * FROM prov.audit ORDER BY id LOOP
    number := number + 1;
    chain := chain || int8send(number) || int8send((extract(epoch FROM record.time) * 1e6)::bigint)
      || int8send(record.revision) || int8send(record.code);
    FOREACH part IN ARRAY ARRAY[record.caller, record.peer, record.method, record.resource, record.request_id,
                                record.before, record.after] LOOP
      chain := chain || int8send(octet_length(part)) || convert_to(part, 'UTF8');
    END LOOP;
    chain := sha256(chain);
    UPDATE prov.audit SET id = number, hash = chain WHERE id = record.id;
  END LOOP;
  INSERT INTO prov.audit_head (id, hash) VALUES (number, chain);
END
$chain$;

ALTER TABLE prov.audit ALTER COLUMN hash SET NOT NULL;

-- For listing by caller and from a time on.
CREATE INDEX audit_caller ON prov.audit (caller, id);
CREATE INDEX audit_time ON prov.audit (time);
