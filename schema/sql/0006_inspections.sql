-- Inspections of hosts: the last one that was asked for, and what each agent found in its last one.

-- No fact of provisioning: asking does not change the host's revision.
ALTER TABLE prov.host ADD COLUMN inspection bigint NOT NULL DEFAULT 0,
  ADD COLUMN inspection_repairs boolean NOT NULL DEFAULT false;

-- NULL: none yet.
ALTER TABLE prov.host_progress ADD COLUMN inspection jsonb;
