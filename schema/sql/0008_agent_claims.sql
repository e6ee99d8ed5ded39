-- Which agent stands for a host: the first that came, for as long as it is there. Another one with the same
-- certificate (a machine that was cloned) is refused, and noted.

CREATE TABLE prov.agent_claim (
  host         text PRIMARY KEY REFERENCES prov.host ON DELETE CASCADE,
  instance     text NOT NULL,  -- as the agent names itself
  peer         text NOT NULL,
  last_seen    timestamptz NOT NULL,
  refused_peer text NOT NULL DEFAULT '',
  refused_at   timestamptz  -- NULL: never
);
