-- Mailboxes that move between store pools, and how full each store pool is.

-- The pool that the mailbox's mail is being taken from, while new mail goes to store_pool already.
ALTER TABLE prov.subscriber ADD COLUMN leaving_pool text REFERENCES prov.pool;

-- A purged one keeps no pool from being removed.
ALTER TABLE prov.subscriber ALTER COLUMN store_pool DROP NOT NULL,
  ADD CONSTRAINT subscriber_has_pool CHECK (store_pool IS NOT NULL OR state = 'purged');

ALTER TABLE prov.mailbox_move DROP CONSTRAINT mailbox_move_state_check;
ALTER TABLE prov.mailbox_move ADD CHECK (state IN ('copying', 'switching', 'done', 'cancelled'));
CREATE INDEX mailbox_move_subscriber ON prov.mailbox_move (subscriber_id);
-- Those that hosts are told of.
CREATE INDEX mailbox_move_open_id ON prov.mailbox_move (id) WHERE state IN ('copying', 'switching');
CREATE INDEX mailbox_move_from ON prov.mailbox_move (from_pool);
CREATE INDEX mailbox_move_to ON prov.mailbox_move (to_pool);

-- Mailboxes of each store pool, purged ones left out: kept, never counted. By triggers, so that no write can
-- forget it; a statement at a time, so that an import of many rows costs one update.
CREATE TABLE prov.pool_fill (
  pool      text PRIMARY KEY REFERENCES prov.pool ON DELETE CASCADE,
  mailboxes bigint NOT NULL
) WITH (fillfactor = 50);
INSERT INTO prov.pool_fill SELECT store_pool, count(*) FROM prov.subscriber WHERE state <> 'purged' GROUP BY store_pool;

CREATE FUNCTION prov.count_added_mailboxes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO prov.pool_fill AS f SELECT store_pool, count(*) FROM added GROUP BY store_pool
  ON CONFLICT (pool) DO UPDATE SET mailboxes = f.mailboxes + excluded.mailboxes;
  RETURN NULL;
END $$;
CREATE TRIGGER count_added_mailboxes AFTER INSERT ON prov.subscriber REFERENCING NEW TABLE AS added
  FOR EACH STATEMENT EXECUTE FUNCTION prov.count_added_mailboxes();

CREATE FUNCTION prov.count_moved_mailbox() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE prov.pool_fill SET mailboxes = mailboxes - 1 WHERE pool = OLD.store_pool AND OLD.state <> 'purged';
  INSERT INTO prov.pool_fill AS f SELECT NEW.store_pool, 1 WHERE NEW.state <> 'purged'
  ON CONFLICT (pool) DO UPDATE SET mailboxes = f.mailboxes + 1;
  RETURN NULL;
END $$;
CREATE TRIGGER count_moved_mailbox AFTER UPDATE ON prov.subscriber FOR EACH ROW
  WHEN (OLD.store_pool <> NEW.store_pool OR (OLD.state = 'purged') <> (NEW.state = 'purged'))
  EXECUTE FUNCTION prov.count_moved_mailbox();
