CREATE TABLE accounts (id serial PRIMARY KEY, name text NOT NULL);
CREATE INDEX accounts_by_name ON accounts (name);
INSERT INTO accounts (name) VALUES ('first'), ('second');
