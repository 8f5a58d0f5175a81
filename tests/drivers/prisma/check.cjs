// Prisma with its defaults: the client's engine is WebAssembly over node-postgres. Migrations by its
// schema engine, which takes an advisory lock for the life of its connection.
'use strict';

const { execFileSync } = require('node:child_process');
const { copyFileSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { delimiter, join } = require('node:path');
const { PrismaPg } = require('@prisma/adapter-pg');
const { Client } = require('pg');
const { ROUNDS, expect, expectOwnRows, run, stateOf, version } = require('checks.cjs');
const engine = require('./engine.cjs');

const modules = process.env.NODE_PATH.split(delimiter)[0];
const schema = readFileSync(join(__dirname, 'schema.prisma'), 'utf8');
const folder = mkdtempSync(join(tmpdir(), 'prisma-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

// `prisma generate`. It asks for the engine's program and does not run it: any file will do.
function generate() {
  copyFileSync(join(__dirname, 'schema.prisma'), join(folder, 'schema.prisma'));
  symlinkSync(modules, join(folder, 'node_modules'));
  const config = "module.exports = { schema: 'schema.prisma', datasource: { url: 'postgres://none' } };";
  writeFileSync(join(folder, 'prisma.config.cjs'), config);
  const env = { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath, CHECKPOINT_DISABLE: '1' };
  const program = join(modules, 'prisma', 'build', 'index.js');
  execFileSync(process.execPath, [program, 'generate', '--config', 'prisma.config.cjs'], { cwd: folder, env, stdio: 'inherit' });
  return require(join(folder, 'client')).PrismaClient;
}

const PrismaClient = generate();
const open = () => new PrismaClient({ adapter: new PrismaPg({ connectionString: process.env.URL }) });

async function withClient(work) {
  const prisma = open();
  try {
    await work(prisma);
  } finally {
    await prisma.$disconnect();
  }
}

async function withEngines(count, work) {
  const engines = await Promise.all(Array.from({ length: count }, () => engine.connect(schema)));
  try {
    await work(...engines);
  } finally {
    await Promise.all(engines.map((one) => one.close()));
  }
}

// What a plain client finds beside Prisma's.
async function value(text) {
  const client = new Client({ connectionString: process.env.URL });
  await client.connect();
  const { rows } = await client.query({ text, rowMode: 'array' });
  await client.end();
  return rows[0][0];
}

const migrations = {};

const checks = {
  'migrate deploy, twice': () =>
    withEngines(1, async (one) => {
      migrations['1_tables'] = await one.script();
      migrations['2_column'] = 'ALTER TABLE "Account" ADD COLUMN note text;\nCREATE TABLE "Other" (n int);';
      expect('applied', ['1_tables', '2_column'], await one.deploy(migrations));
      expect('applied again', [], await one.deploy(migrations));
      expect('tables', '4', await value("SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"));
    }),

  'two at once wait for each other': () =>
    withEngines(2, async (first, second) => {
      migrations['3_slow'] = 'CREATE TABLE slow AS SELECT 1 AS n FROM pg_sleep(1);';
      const deploy = (one) => one.deploy(migrations).finally(() => one.close());
      const applied = await Promise.all([deploy(first), deploy(second)]);
      expect('applied by one of them', ['3_slow'], applied.flat());
      expect('its row', '1', await value('SELECT count(*) FROM slow'));
    }),

  'a migration that fails, is resolved, and tried again': () =>
    withEngines(1, async (one) => {
      const wrong = { ...migrations, '4_wrong': 'SELECT 1 / 0; CREATE TABLE half (n int);' };
      expect('the error', true, (await stateOf(one.deploy(wrong))) !== undefined);
      expect('failed', ['4_wrong'], (await one.status(wrong)).failedMigrationNames);
      await one.rolledBack('4_wrong');
      migrations['4_wrong'] = 'CREATE TABLE half (n int);';
      expect('applied', ['4_wrong'], await one.deploy(migrations));
    }),

  'the lock of the migrations has gone with their connections': async () => {
    expect('locks', '0', await value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"));
  },

  'rows with all types, and their relations': () =>
    withClient(async (prisma) => {
      const made = new Date('2024-02-29T23:59:58.123Z');
      const data = { name: "it's ünïcode ✓", amount: '12345.6789', made, tags: ['a', 'b'], entries: { create: [{ mark: 'one' }, { mark: 'two' }] } };
      for (let n = 0; n < 3; n += 1) {
        const created = await prisma.account.create({ data: { ...data, name: `${data.name} ${n}` } });
        const found = await prisma.account.findUnique({ where: { id: created.id }, include: { entries: { orderBy: { id: 'asc' } } } });
        expect('amount', '12345.6789', found.amount.toString());
        expect('made', made, found.made);
        expect('tags', ['a', 'b'], found.tags);
        expect('entries', ['one', 'two'], found.entries.map((entry) => entry.mark));
      }
      expect('many', { count: 3 }, await prisma.account.updateMany({ data: { amount: 1 } }));
      const sums = await prisma.account.aggregate({ _sum: { amount: true }, _count: true });
      expect('aggregate', ['3', 3], [sums._sum.amount.toString(), sums._count]);
      expect('upsert', 'upserted', (await prisma.account.upsert({ where: { name: 'new' }, create: { name: 'new', tags: ['upserted'] }, update: {} })).tags[0]);
    }),

  'an interactive transaction, and one that is rolled back': () =>
    withClient(async (prisma) => {
      const where = { name: 'new' };
      await prisma.$transaction(async (inside) => {
        await inside.account.update({ where, data: { amount: { increment: 5 } } });
        const server = await inside.$queryRaw`SELECT pg_backend_pid() AS pid`;
        for (let n = 0; n < 5; n += 1) expect('one server', server, await inside.$queryRaw`SELECT pg_backend_pid() AS pid`);
      });
      const failed = prisma.$transaction(async (inside) => {
        await inside.account.update({ where, data: { amount: 0 } });
        await inside.account.create({ data: where });
      });
      expect('the error', 'P2002', await stateOf(failed));
      expect('amount', '5', (await prisma.account.findUnique({ where })).amount.toString());
      const shown = (inside) => inside.$queryRaw`SHOW transaction_isolation`;
      const isolated = await prisma.$transaction(shown, { isolationLevel: 'Serializable' });
      expect('isolation', [{ transaction_isolation: 'serializable' }], isolated);
    }),

  'an error, and the next query': () =>
    withClient(async (prisma) => {
      for (let n = 0; n < 5; n += 1) {
        expect('the error', 'P2010', await stateOf(prisma.$queryRaw`SELECT 1 / ${0}::int`));
        expect('after it', [{ two: 2 }], await prisma.$queryRaw`SELECT ${2}::int AS two`);
      }
    }),

  '8 users read their own rows': () =>
    withClient(async (prisma) => {
      await expectOwnRows(async (number, seen) => {
        for (let n = 0; n < ROUNDS; n += 1) {
          const mark = `client ${number} round ${n}`;
          const [row] = await prisma.$queryRaw`SELECT ${mark}::text AS found, pg_backend_pid() AS pid`;
          seen(mark, row.found, row.pid);
        }
      });
    }),
};

version('prisma');
run(checks);
