-- The full model: who may use what (subscribers, domains, lists), on which machines (fleet), and what happened to it
-- (changes, audit). provd applies this file itself; see server/store/migrations.h.

CREATE SCHEMA prov;

-- One row. Locked by each batch of writes, so that revisions are gapless and in the order of visibility (I2).
CREATE TABLE prov.revision (
  only_row  boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  value     bigint NOT NULL,
  -- The change log reaches back to changes after this one.
  compacted bigint NOT NULL
);
INSERT INTO prov.revision (value, compacted) VALUES (0, 0);

-- That an aggregate changed; readers fetch its present state. A write has one revision and one change or more.
CREATE TABLE prov.change (
  revision bigint NOT NULL,
  kind     smallint NOT NULL,   -- store::AggregateKind
  key      text NOT NULL,
  removed  boolean NOT NULL DEFAULT false,
  time     timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (revision, kind, key)
);

CREATE TABLE prov.domain (
  name           text PRIMARY KEY,
  suspended_mail text NOT NULL DEFAULT 'keep' CHECK (suspended_mail IN ('keep', 'reject', 'defer')),
  alias_of       text REFERENCES prov.domain,
  catch_all      text NOT NULL DEFAULT '',
  create_time    timestamptz NOT NULL DEFAULT now(),
  update_time    timestamptz NOT NULL DEFAULT now(),
  revision       bigint NOT NULL
);
CREATE INDEX domain_alias_of ON prov.domain (alias_of) WHERE alias_of IS NOT NULL;

CREATE TABLE prov.pool (
  id          text PRIMARY KEY,
  role        text NOT NULL CHECK (role IN ('relay', 'store', 'outbound', 'list', 'pop-proxy', 'ftp', 'web')),
  weight      integer NOT NULL DEFAULT 1 CHECK (weight >= 0),
  create_time timestamptz NOT NULL DEFAULT now(),
  update_time timestamptz NOT NULL DEFAULT now(),
  revision    bigint NOT NULL
);

CREATE TABLE prov.host (
  id          text PRIMARY KEY,
  weight      integer NOT NULL DEFAULT 1 CHECK (weight >= 0),
  state       text NOT NULL DEFAULT 'serving' CHECK (state IN ('serving', 'drained', 'evicted', 'banned')),
  endpoints   jsonb NOT NULL DEFAULT '{}',
  create_time timestamptz NOT NULL DEFAULT now(),
  update_time timestamptz NOT NULL DEFAULT now(),
  revision    bigint NOT NULL
);
CREATE TABLE prov.host_pool (
  host text NOT NULL REFERENCES prov.host ON DELETE CASCADE,
  pool text NOT NULL REFERENCES prov.pool,
  PRIMARY KEY (host, pool)
);
CREATE INDEX host_pool_pool ON prov.host_pool (pool);

-- Never given out twice: a sequence does not go back, and rows stay after purge.
CREATE SEQUENCE prov.uid_number AS integer START 100000 MINVALUE 100000;

CREATE TABLE prov.subscriber (
  id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  uid                uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
  login              text NOT NULL,
  domain             text NOT NULL REFERENCES prov.domain,
  display_name       text NOT NULL DEFAULT '',
  mail               boolean NOT NULL,
  ftp                boolean NOT NULL,
  web                boolean NOT NULL,
  quota_bytes        bigint NOT NULL DEFAULT 0 CHECK (quota_bytes >= 0),
  plan               text NOT NULL DEFAULT '',
  labels             jsonb NOT NULL DEFAULT '{}',
  forward_targets    jsonb NOT NULL DEFAULT '[]',
  forward_keep_copy  boolean NOT NULL DEFAULT false,
  state              text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'suspended', 'closed', 'purged')),
  state_before_close text NOT NULL DEFAULT 'active' CHECK (state_before_close IN ('active', 'suspended')),
  suspend_reason     text NOT NULL DEFAULT '',
  store_pool         text NOT NULL REFERENCES prov.pool,
  uid_number         integer NOT NULL UNIQUE DEFAULT nextval('prov.uid_number'),
  password_hash      text NOT NULL DEFAULT '',
  credential_version bigint NOT NULL,
  create_time        timestamptz NOT NULL DEFAULT now(),
  update_time        timestamptz NOT NULL DEFAULT now(),
  delete_time        timestamptz,
  expire_time        timestamptz,
  revision           bigint NOT NULL
);
-- A login may be given out again after purge and the address' reservation, so it is unique among the living only.
CREATE UNIQUE INDEX subscriber_login ON prov.subscriber (login text_pattern_ops) WHERE state <> 'purged';
CREATE INDEX subscriber_domain ON prov.subscriber (domain, id);
CREATE INDEX subscriber_state ON prov.subscriber (state, id) WHERE state <> 'active';
CREATE INDEX subscriber_labels ON prov.subscriber USING gin (labels jsonb_path_ops);
CREATE INDEX subscriber_store_pool ON prov.subscriber (store_pool);
CREATE INDEX subscriber_expire ON prov.subscriber (expire_time) WHERE state = 'closed';

CREATE TABLE prov.mailing_list (
  address      text PRIMARY KEY,
  display_name text NOT NULL DEFAULT '',
  owners       jsonb NOT NULL,
  posting      text NOT NULL CHECK (posting IN ('members', 'owners', 'anyone')),
  pool         text NOT NULL REFERENCES prov.pool,
  member_count bigint NOT NULL DEFAULT 0,
  create_time  timestamptz NOT NULL DEFAULT now(),
  update_time  timestamptz NOT NULL DEFAULT now(),
  revision     bigint NOT NULL
);
CREATE TABLE prov.mailing_list_member (
  list        text NOT NULL REFERENCES prov.mailing_list ON DELETE CASCADE,
  address     text NOT NULL,
  create_time timestamptz NOT NULL DEFAULT now(),
  revision    bigint NOT NULL,
  PRIMARY KEY (list, address)
);

-- Every address, of subscribers and of lists: one owner at a time. After a purge it stays reserved for a while.
CREATE TABLE prov.address (
  address        text PRIMARY KEY,
  domain         text NOT NULL REFERENCES prov.domain,
  subscriber_id  bigint REFERENCES prov.subscriber,
  mailing_list   text REFERENCES prov.mailing_list,
  reserved_until timestamptz,
  CHECK (num_nonnulls(subscriber_id, mailing_list, reserved_until) = 1)
);
CREATE INDEX address_subscriber ON prov.address (subscriber_id) WHERE subscriber_id IS NOT NULL;
CREATE INDEX address_domain ON prov.address (domain);
CREATE INDEX address_reserved ON prov.address (reserved_until) WHERE reserved_until IS NOT NULL;

CREATE TABLE prov.mailbox_move (
  id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  subscriber_id bigint NOT NULL REFERENCES prov.subscriber,
  from_pool     text NOT NULL REFERENCES prov.pool,
  to_pool       text NOT NULL REFERENCES prov.pool,
  state         text NOT NULL CHECK (state IN ('copying', 'switching', 'done', 'cancelled', 'failed')),
  octets_copied bigint NOT NULL DEFAULT 0,
  octets_total  bigint NOT NULL DEFAULT 0,
  error         text NOT NULL DEFAULT '',
  create_time   timestamptz NOT NULL DEFAULT now(),
  update_time   timestamptz NOT NULL DEFAULT now(),
  revision      bigint NOT NULL
);
CREATE UNIQUE INDEX mailbox_move_open ON prov.mailbox_move (subscriber_id) WHERE state IN ('copying', 'switching');

CREATE TABLE prov.scheduled_change (
  id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  subscriber_id  bigint NOT NULL REFERENCES prov.subscriber,
  effective_time timestamptz NOT NULL,
  method         text NOT NULL,
  request        bytea NOT NULL,
  caller         text NOT NULL
);
CREATE INDEX scheduled_change_due ON prov.scheduled_change (effective_time);

-- First answers of writes, so that a retry changes nothing (AIP-155). No request is kept, only its keyed hash.
CREATE TABLE prov.request (
  caller      text NOT NULL,
  request_id  text NOT NULL,
  fingerprint bytea NOT NULL,
  response    bytea NOT NULL,
  revision    bigint NOT NULL,
  create_time timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (caller, request_id)
);
CREATE INDEX request_create_time ON prov.request (create_time);

-- Keys made by this installation for itself.
CREATE TABLE prov.secret (
  name  text PRIMARY KEY,
  value bytea NOT NULL
);

CREATE TABLE prov.audit (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  time       timestamptz NOT NULL DEFAULT now(),
  caller     text NOT NULL,
  peer       text NOT NULL,
  method     text NOT NULL,
  resource   text NOT NULL,
  request_id text NOT NULL,
  revision   bigint NOT NULL,
  code       integer NOT NULL,
  before     jsonb,
  after      jsonb
);
CREATE INDEX audit_resource ON prov.audit (resource, id);

CREATE TABLE prov.enrolment_token (
  token_hash  bytea PRIMARY KEY,
  host        text NOT NULL REFERENCES prov.host ON DELETE CASCADE,
  expire_time timestamptz NOT NULL,
  used_time   timestamptz
);
CREATE TABLE prov.revoked_certificate (
  serial      text PRIMARY KEY,
  reason      text NOT NULL,
  revoke_time timestamptz NOT NULL DEFAULT now()
);

-- What agents report of themselves: no fact of provisioning, no revision, lost without harm.
CREATE TABLE prov.host_progress (
  host              text NOT NULL REFERENCES prov.host ON DELETE CASCADE,
  role              text NOT NULL,
  connected         boolean NOT NULL,
  received_revision bigint NOT NULL,
  applied_revision  bigint NOT NULL,
  failing_items     bigint NOT NULL,
  failing           jsonb NOT NULL,
  agent_version     text NOT NULL,
  last_seen         timestamptz NOT NULL,
  PRIMARY KEY (host, role)
);
