// postgres.js with its defaults: every query is a named prepared statement, queries of a
// connection are pipelined, and up to 10 connections are opened as they are needed.
'use strict';

const { readFileSync } = require('node:fs');
const { setTimeout: sleep } = require('node:timers/promises');
const { Readable } = require('node:stream');
const { pipeline } = require('node:stream/promises');
const postgres = require('postgres');
const { ROUNDS, expect, expectOwnRows, run, stateOf, version } = require('checks.cjs');

// All but the password is in the environment: PGHOST, PGPORT, PGUSER, PGDATABASE.
const password = readFileSync(process.env.PGPASSFILE, 'utf8').trim().split(':').slice(4).join(':');
const connect = (more) => postgres({ password, onnotice: () => {}, ...more });

async function withSql(work, more) {
  const sql = connect(more);
  try {
    await work(sql);
  } finally {
    await sql.end({ timeout: 5 });
  }
}

const checks = {
  'parameters of many types come back as they went': () =>
    withSql(async (sql) => {
      const at = new Date('2024-02-29T23:59:58.123Z');
      const long = 'x'.repeat(8e6);
      await sql`SELECT 1`; // it knows the types of arrays only after its first query
      for (let n = 0; n < 5; n += 1) {
        const rows = await sql`SELECT ${7}::int AS a, ${"it's ünïcode ✓ \\"}::text AS b, ${Buffer.from([0, 255])}::bytea AS c,
          ${null}::text AS d, ${at}::timestamptz AS e, ${sql.array([1, 2, 3])}::int[] AS f, ${sql.json({ a: 'b' })}::jsonb AS g, ${long} AS h`;
        const expected = { a: 7, b: "it's ünïcode ✓ \\", c: Buffer.from([0, 255]), d: null, e: at, f: [1, 2, 3], g: { a: 'b' }, h: long };
        expect('values', expected, { ...rows[0], f: [...rows[0].f] });
      }
    }),

  'a prepared statement follows its client to both server connections': () =>
    withSql(async (client) => {
      const ask = async (n) => (await client`SELECT ${n}::int * 2 AS double, pg_backend_pid() AS pid`)[0];
      await ask(0);
      // Each holder keeps a server up to its `done`, and tells which.
      const hold = async (sql) => {
        const holder = {};
        const held = new Promise((resolve) => {
          holder.ended = sql.begin(async (tx) => {
            holder.pid = (await tx`SELECT pg_backend_pid() AS pid`)[0].pid;
            resolve();
            await new Promise((done) => (holder.done = done));
          });
        });
        await held;
        return holder;
      };
      const others = connect({ max: 3 });
      const holders = [await hold(others), await hold(others)];
      for (const at of [0, 1]) {
        const { pid, done, ended } = holders[at];
        done();
        await ended;
        for (let n = 0; n < 3; n += 1) expect('on the only free server', { double: n * 2, pid }, { ...(await ask(n)) });
        holders[at] = await hold(others);
      }
      holders.forEach((holder) => holder.done());
      await Promise.all(holders.map((holder) => holder.ended));
      await others.end({ timeout: 5 });
    }, { max: 1 }),

  '300 statements, more than a server connection keeps': () =>
    withSql(async (sql) => {
      for (let round = 0; round < 2; round += 1) {
        for (let n = 0; n < 300; n += 1) {
          const rows = await sql`SELECT ${5}::int + ${sql.unsafe(String(n))} AS sum`;
          expect('sum', n + 5, rows[0].sum);
        }
      }
    }, { max: 1 }),

  'a rollback, a savepoint, and an error inside a transaction': () =>
    withSql(async (sql) => {
      await sql`CREATE TABLE account (id int PRIMARY KEY, amount int)`;
      await sql`INSERT INTO account ${sql({ id: 1, amount: 100 })}`;
      for (let n = 0; n < 10; n += 1) {
        const failing = sql.begin(async (tx) => {
          await tx`UPDATE account SET amount = ${0}`;
          await tx`SELECT 1 / ${0}::int`;
        });
        expect('the error', '22012', await stateOf(failing));
        expect('after rollback', [{ amount: 100 }], [...(await sql`SELECT amount FROM account WHERE id = ${1}`)]);
      }
      await sql.begin(async (tx) => {
        await tx`UPDATE account SET amount = ${101}`;
        const inner = tx.savepoint((point) => point`INSERT INTO account VALUES (${1}, 1)`);
        expect('the duplicate', '23505', await stateOf(inner));
      });
      expect('after a savepoint', [{ amount: 101 }], [...(await sql`SELECT amount FROM account`)]);
    }),

  'a pipeline of 300 queries on one connection, with errors among them': () =>
    withSql(async (sql) => {
      const asked = Array.from({ length: 300 }, (_, n) => stateOf(sql`SELECT 10 / ${n % 10}::int AS v`.then((rows) => rows[0].v)));
      const found = await Promise.all(asked);
      expect('answers', found.map((_, n) => (n % 10 ? { value: Math.trunc(10 / (n % 10)) } : '22012')), found);
      const together = await sql.begin((tx) => Array.from({ length: 50 }, (_, n) => tx`SELECT ${n}::int AS n`));
      expect('in a transaction', Array.from({ length: 50 }, (_, n) => n), together.map((rows) => rows[0].n));
    }, { max: 1 }),

  'COPY in and out of 50,000 rows': () =>
    withSql(async (sql) => {
      const lines = Array.from({ length: 50000 }, (_, n) => `${n}\ttext ${n}\n`);
      await sql`CREATE TABLE copied (n int, t text)`;
      await pipeline(Readable.from(lines), await sql`COPY copied FROM STDIN`.writable());
      const out = await (await sql`COPY (SELECT * FROM copied ORDER BY n) TO STDOUT`.readable()).toArray();
      expect('rows', lines.join(''), Buffer.concat(out).toString());
    }),

  'a cursor (a portal, read in parts)': () =>
    withSql(async (sql) => {
      const found = [];
      for await (const rows of sql`SELECT generate_series(1, ${1000}::int) AS n`.cursor(100)) found.push(...rows.map((row) => row.n));
      expect('rows', Array.from({ length: 1000 }, (_, n) => n + 1), found);
      for await (const rows of sql`SELECT generate_series(1, ${1000}::int) AS n`.cursor(10)) {
        expect('a part', 10, rows.length);
        break;
      }
      expect('after one left early', 3, (await sql`SELECT ${3}::int AS n`)[0].n);
    }, { max: 1 }),

  '8 clients of one connection each read their own rows': () =>
    expectOwnRows((number, seen) =>
      withSql(async (sql) => {
        for (let n = 0; n < ROUNDS; n += 1) {
          const mark = `client ${number} round ${n}`;
          const [row, again] = await sql.begin((tx) => [
            tx`SELECT ${mark}::text AS found, pg_backend_pid() AS pid`,
            tx`SELECT pg_backend_pid() AS pid FROM pg_sleep(0.001)`,
          ]);
          expect('one server in a transaction', row[0].pid, again[0].pid);
          seen(mark, row[0].found, row[0].pid);
        }
      }, { max: 1 })),

  'a cancel, and the connection after it': () =>
    withSql(async (sql) => {
      for (let n = 0; n < 3; n += 1) {
        const query = sql`SELECT pg_sleep(60)`;
        const asked = stateOf(query);
        await sleep(300);
        query.cancel();
        expect('the error', '57014', await asked);
        expect('afterwards', n, (await sql`SELECT ${n}::int AS n`)[0].n);
      }
    }, { max: 1 }),

  'features of a session': () =>
    withSql(async (sql) => {
      const heard = [];
      const listener = await sql.listen('news', (text) => heard.push(text));
      await sql.notify('news', 'hello');
      await sleep(300);
      expect('LISTEN (sql.listen)', ['hello'], heard);
      await listener.unlisten();
      const one = connect({ max: 1 });
      await one`SET lock_timeout = '4s'`;
      expect('SET of lock_timeout across transactions', '4s', (await one`SHOW lock_timeout`)[0].lock_timeout);
      await one`CREATE TEMPORARY TABLE mine (n int)`;
      expect('a temporary table across transactions', 0, (await one`SELECT * FROM mine`).length);
      await one.end({ timeout: 5 });
    }),
};

version('postgres');
run(checks);
