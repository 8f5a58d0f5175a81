-- Each client asks for its own number, alone and inside a transaction; an answer for
-- another client makes it divide by zero, which ends the run.
\set n random(1, 1000000)
SELECT :client_id::int AS mark, :n::int AS sent \gset
\if :mark <> :client_id or :sent <> :n
SELECT 1 / 0;
\endif
BEGIN;
SELECT :client_id::int + :n::int AS mark, pg_backend_pid() AS server \gset
SELECT pg_backend_pid() AS server_again, :client_id::int + :n::int AS mark_again \gset
COMMIT;
\if :mark <> :client_id + :n or :mark_again <> :mark or :server <> :server_again
SELECT 1 / 0;
\endif
