"""The bare cost of a write: pgbench with a transaction of two inserts, in the same PostgreSQL."""

import os
import re
import tempfile

TABLES = ("DROP SCHEMA IF EXISTS bare CASCADE; CREATE SCHEMA bare; CREATE TABLE bare.subscriber (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
          "login text UNIQUE NOT NULL, display_name text NOT NULL); CREATE TABLE bare.change (id bigint GENERATED ALWAYS AS "
          "IDENTITY PRIMARY KEY, key text NOT NULL)")
TRANSACTION = r"""\set n random(1, 1000000000000)
BEGIN;
INSERT INTO bare.subscriber (login, display_name) VALUES ('u' || :n || '@example.net', 'Bench ' || :n);
INSERT INTO bare.change (key) VALUES (:n::text);
COMMIT;
"""


def two_inserts_rate(postgres, clients, seconds):
    """Transactions a second at so many clients; prepared statements, everything synced."""
    postgres.psql(TABLES)
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(TRANSACTION)
        script.flush()
        os.chmod(script.name, 0o644)
        output = postgres.run_program("pgbench", "-n", "-M", "prepared", "-f", script.name, "-c", str(clients), "-j", "2",
                                      "-T", str(seconds), postgres.owner_connection())
    return float(re.search(r"^tps = ([0-9.]+)", output, re.MULTILINE).group(1))
