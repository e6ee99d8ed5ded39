-- Mailing lists whose members are too many for one write; scheduled changes that may fail; how much each caller,
-- and each follower, may take away before an operator is asked.

-- A list goes at once, its members in steps: provd removes those of lists named here.
ALTER TABLE prov.mailing_list ADD COLUMN domain text NOT NULL REFERENCES prov.domain;
CREATE INDEX mailing_list_domain ON prov.mailing_list (domain, address);
CREATE INDEX mailing_list_pool ON prov.mailing_list (pool, address);
CREATE INDEX mailing_list_prefix ON prov.mailing_list (address text_pattern_ops);
ALTER TABLE prov.mailing_list_member DROP CONSTRAINT mailing_list_member_list_fkey;
CREATE TABLE prov.mailing_list_removal (
  address text PRIMARY KEY
);

-- One that failed waits for somebody to look at it, and is not tried again.
ALTER TABLE prov.scheduled_change
  ADD COLUMN create_time timestamptz NOT NULL DEFAULT now(),
  ADD COLUMN error text NOT NULL DEFAULT '';
DROP INDEX prov.scheduled_change_due;
CREATE INDEX scheduled_change_due ON prov.scheduled_change (effective_time, id) WHERE error = '';
CREATE INDEX scheduled_change_time ON prov.scheduled_change (effective_time, id);
CREATE INDEX scheduled_change_subscriber ON prov.scheduled_change (subscriber_id);

-- Subscribers that each caller has suspended, closed or purged since window_start.
CREATE TABLE prov.caller_harm (
  caller        text PRIMARY KEY,
  window_start  timestamptz NOT NULL DEFAULT now(),
  changes       bigint NOT NULL DEFAULT 0,
  -- Went beyond the threshold; does nothing of the kind until somebody approves.
  stopped_time  timestamptz
);
CREATE INDEX caller_harm_stopped ON prov.caller_harm (caller) WHERE stopped_time IS NOT NULL;

-- An operator's word: the target ("api/billing/crm", "directory", "hosts/store1") may go on.
CREATE TABLE prov.approval (
  target      text PRIMARY KEY,
  changes     bigint NOT NULL CHECK (changes > 0),
  expire_time timestamptz NOT NULL,
  caller      text NOT NULL
);
