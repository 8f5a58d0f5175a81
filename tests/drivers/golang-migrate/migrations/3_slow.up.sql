CREATE TABLE half (n int);
SELECT pg_sleep(60);
