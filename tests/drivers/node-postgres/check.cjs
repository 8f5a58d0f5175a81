// node-postgres with its defaults: a query with parameters goes by the unnamed statement, one
// with a name by a named statement that is kept for the connection's life.
'use strict';

const { setTimeout: sleep } = require('node:timers/promises');
const { Readable } = require('node:stream');
const { pipeline } = require('node:stream/promises');
const pg = require('pg');
const Cursor = require('pg-cursor');
const { from: copyFrom, to: copyTo } = require('pg-copy-streams');
const { ROUNDS, expect, expectOwnRows, run, stateOf, version } = require('checks.cjs');

// All is in the environment: PGHOST, PGPORT, PGUSER, PGDATABASE, PGPASSFILE.
async function connect() {
  const client = new pg.Client();
  await client.connect();
  return client;
}

async function withClients(count, work) {
  const clients = await Promise.all(Array.from({ length: count }, connect));
  try {
    await work(...clients);
  } finally {
    await Promise.all(clients.map((client) => client.end()));
  }
}

const value = async (client, text, values) => Object.values((await client.query(text, values)).rows[0])[0];

const checks = {
  'parameters of many types come back as they went': () =>
    withClients(1, async (client) => {
      const at = new Date('2024-02-29T23:59:58.123Z');
      const values = [7, "it's ünïcode ✓ \\", Buffer.from([0, 255]), null, true, at, [1, 2, 3], { a: 'b' }, 'x'.repeat(8e6)];
      const types = 'int4 text bytea text bool timestamptz int4[] jsonb text'.split(' ');
      const columns = types.map((type, n) => `$${n + 1}::${type} AS v${n}`).join(', ');
      for (let n = 0; n < 3; n += 1) {
        const { rows } = await client.query(`SELECT ${columns}`, values);
        expect('values', values, Object.values(rows[0]));
      }
    }),

  'a named statement follows its client to both server connections': () =>
    withClients(3, async (client, first, second) => {
      const hold = (holder) => holder.query('BEGIN; SELECT 1');
      await hold(first);
      await hold(second);
      for (const holder of [first, second]) {
        const free = await value(holder, 'SELECT pg_backend_pid()');
        await holder.query('ROLLBACK');
        for (let n = 0; n < 3; n += 1) {
          const text = 'SELECT $1::int * 2 AS double, pg_backend_pid() AS pid';
          const { rows } = await client.query({ name: 'double', text, values: [n] });
          expect('on the only free server', { double: n * 2, pid: free }, { ...rows[0] });
        }
        await hold(holder);
      }
    }),

  '300 named statements, more than a server connection keeps': () =>
    withClients(1, async (client) => {
      for (let round = 0; round < 2; round += 1) {
        for (let n = 0; n < 300; n += 1) {
          const { rows } = await client.query({ name: `plus ${n}`, text: `SELECT $1::int + ${n} AS sum`, values: [5] });
          expect('sum', n + 5, rows[0].sum);
        }
      }
    }),

  'a rollback, a savepoint, and an error inside a transaction': () =>
    withClients(1, async (client) => {
      await client.query('CREATE TABLE account (id int PRIMARY KEY, amount int)');
      await client.query('INSERT INTO account VALUES ($1, $2)', [1, 100]);
      for (let n = 0; n < 10; n += 1) {
        await client.query('BEGIN');
        await client.query('UPDATE account SET amount = $1', [0]);
        expect('the error', '22012', await stateOf(client.query('SELECT 1 / $1::int', [0])));
        expect('after it', '25P02', await stateOf(client.query('SELECT $1::int', [1])));
        await client.query('ROLLBACK');
        expect('after rollback', 100, await value(client, 'SELECT amount FROM account WHERE id = $1', [1]));
      }
      await client.query('BEGIN; UPDATE account SET amount = 101; SAVEPOINT s');
      expect('the duplicate', '23505', await stateOf(client.query('INSERT INTO account VALUES ($1, 1)', [1])));
      await client.query('ROLLBACK TO s; COMMIT');
      expect('after a savepoint', 101, await value(client, 'SELECT amount FROM account'));
    }),

  'queries sent without waiting, with an error among them': () =>
    withClients(1, async (client) => {
      const asked = Array.from({ length: 300 }, (_, n) => stateOf(value(client, 'SELECT 10 / $1::int', [n % 10])));
      const found = await Promise.all(asked);
      const expected = found.map((_, n) => (n % 10 ? { value: Math.trunc(10 / (n % 10)) } : '22012'));
      expect('answers', expected, found);
    }),

  'COPY in and out of 50,000 rows, and one with an error': () =>
    withClients(1, async (client) => {
      const lines = Array.from({ length: 50000 }, (_, n) => `${n}\ttext ${n}\n`);
      await client.query('CREATE TABLE copied (n int, t text)');
      await pipeline(Readable.from(lines), client.query(copyFrom('COPY copied FROM STDIN')));
      const out = await client.query(copyTo('COPY (SELECT * FROM copied ORDER BY n) TO STDOUT')).toArray();
      expect('rows', lines.join(''), Buffer.concat(out).toString());
      const wrong = pipeline(Readable.from(['no number\ttext\n']), client.query(copyFrom('COPY copied FROM STDIN')));
      expect('the error', '22P02', await stateOf(wrong));
      expect('no row of it', '50000', await value(client, 'SELECT count(*) FROM copied'));
    }),

  'a cursor (a portal, read in parts)': () =>
    withClients(1, async (client) => {
      const cursor = client.query(new Cursor('SELECT generate_series(1, $1::int) AS n', [1000]));
      const found = [];
      for (let rows = await cursor.read(100); rows.length; rows = await cursor.read(100)) found.push(...rows);
      await cursor.close();
      expect('rows', Array.from({ length: 1000 }, (_, n) => n + 1), found.map((row) => row.n));
      const closed = client.query(new Cursor('SELECT generate_series(1, $1::int) AS n', [1000]));
      await closed.read(10);
      await closed.close();
      expect('after one closed early', 3, await value(client, 'SELECT $1::int', [3]));
    }),

  '8 users of a Pool read their own rows': async () => {
    const pool = new pg.Pool();
    await expectOwnRows(async (number, seen) => {
      for (let n = 0; n < ROUNDS; n += 1) {
        const mark = `client ${number} round ${n}`;
        const client = await pool.connect();
        await client.query('BEGIN');
        const { rows } = await client.query('SELECT $1::text AS found, pg_backend_pid() AS pid', [mark]);
        const again = await value(client, 'SELECT pg_backend_pid() FROM pg_sleep(0.001)');
        await client.query('COMMIT');
        client.release();
        expect('one server in a transaction', rows[0].pid, again);
        seen(mark, rows[0].found, rows[0].pid);
      }
    });
    await pool.end();
  },

  'a cancel by pg_cancel_backend and a timeout of the server': () =>
    withClients(2, async (client, other) => {
      const asked = stateOf(client.query('SELECT pg_sleep(60)'));
      const find = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND state = 'active'";
      while ((await value(other, find)) === '0') await sleep(20);
      expect('the error', '57014', await asked);
      await client.query("BEGIN; SET LOCAL statement_timeout = '50ms'");
      expect('the timeout', '57014', await stateOf(client.query('SELECT pg_sleep(60)')));
      await client.query('ROLLBACK');
      expect('afterwards', 1, await value(client, 'SELECT $1::int', [1]));
    }),

  'features of a session': () =>
    withClients(2, async (client, other) => {
      const heard = [];
      client.on('notification', (note) => heard.push(note.channel));
      await client.query('LISTEN news');
      await other.query('NOTIFY news');
      await sleep(300);
      expect('LISTEN (on notification)', ['news'], heard);
      await client.query('SELECT pg_advisory_lock(5)');
      const held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()";
      expect('a session advisory lock across transactions', '1', await value(client, held));
      await client.query("SET lock_timeout = '4s'");
      expect('SET of lock_timeout across transactions', '4s', await value(client, 'SHOW lock_timeout'));
      await client.query('CREATE TEMPORARY TABLE mine (n int)');
      expect('a temporary table across transactions', 0, (await client.query('SELECT * FROM mine')).rowCount);
    }),
};

version('pg');
run(checks);
