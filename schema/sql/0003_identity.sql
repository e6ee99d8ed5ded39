-- Who holds which certificate, and which are believed no longer.

-- What provd has signed. Those that expired 30 days ago go when their identity gets another.
CREATE TABLE prov.certificate (
  serial      text PRIMARY KEY,   -- lower-case hexadecimal
  identity    text NOT NULL,      -- "agent/store1"
  issued_by   text NOT NULL,
  issue_time  timestamptz NOT NULL DEFAULT now(),
  expire_time timestamptz NOT NULL
);
CREATE INDEX certificate_identity ON prov.certificate (identity, issue_time);
CREATE INDEX certificate_issue_time ON prov.certificate (issue_time, serial);

-- Null: not known, for the certificate was made by `provd ca issue`.
ALTER TABLE prov.revoked_certificate ADD COLUMN expire_time timestamptz;

-- Identities that were evicted once. Of these only certificates on record and not revoked are believed, so that
-- the ones made by `provd ca issue`, which nobody has counted, are void as well.
CREATE TABLE prov.identity_cut_off (
  identity     text PRIMARY KEY,
  cut_off_time timestamptz NOT NULL DEFAULT now()
);

-- One row; moves with every write to the three tables above that takes or gives trust. Each provd looks at it.
CREATE TABLE prov.trust (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  version  bigint NOT NULL
);
INSERT INTO prov.trust (version) VALUES (0);

-- A host has one token at most. The key it was used with may use it again: an agent whose answer was lost.
ALTER TABLE prov.enrolment_token ADD COLUMN used_key bytea;
DELETE FROM prov.enrolment_token;
CREATE UNIQUE INDEX enrolment_token_host ON prov.enrolment_token (host);
