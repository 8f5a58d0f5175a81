-- libpq's pipeline mode: nothing is read before \endpipeline. Statements of two
-- transactions, one of them explicit.
\set aid random(1, 100000)
\startpipeline
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :aid;
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
UPDATE pgbench_accounts SET abalance = abalance - 1 WHERE aid = :aid;
COMMIT;
SELECT count(*) FROM pgbench_branches;
\endpipeline
