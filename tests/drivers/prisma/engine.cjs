// Prisma's schema engine, which `prisma migrate` runs: its programs download themselves, so this is
// the same engine as WebAssembly, over the driver adapter that the client uses too.
'use strict';

const { readFileSync } = require('node:fs');
const { dirname, join } = require('node:path');
const { PrismaPg } = require('@prisma/adapter-pg');
const { bindMigrationAwareSqlAdapterFactory } = require('@prisma/driver-adapter-utils');

const FOLDER = dirname(require.resolve('@prisma/schema-engine-wasm/schema_engine_bg'));
const BINDINGS = './schema_engine_bg.js';
const FILTERS = { externalTables: [], externalEnums: [] };

// Node takes a module with a .wasm in it only behind a flag.
async function load() {
  const bindings = await import(join(FOLDER, BINDINGS));
  const code = readFileSync(join(FOLDER, 'schema_engine_bg.wasm'));
  const { instance } = await WebAssembly.instantiate(code, { [BINDINGS]: bindings });
  bindings.__wbg_set_wasm(instance.exports);
  instance.exports.__wbindgen_start();
  return bindings.SchemaEngine;
}

const loaded = load();

// One engine, which keeps one connection until close().
async function connect(schema) {
  const SchemaEngine = await loaded;
  let adapter;
  const factory = new PrismaPg({ connectionString: process.env.URL, max: 1 });
  const kept = { ...bindMigrationAwareSqlAdapterFactory(factory) };
  const bound = kept.connect.bind(kept);
  kept.connect = async () => {
    const connected = await bound();
    if (connected.ok) adapter = connected.value;
    return connected;
  };
  const engine = await SchemaEngine.new({ datamodels: [['schema.prisma', schema]] }, () => {}, kept);
  return {
    // The SQL that makes an empty database one for this schema.
    script: async () => {
      const to = { tag: 'schemaDatamodel', files: [{ path: 'schema.prisma', content: schema }] };
      const asked = { from: { tag: 'empty' }, to, script: true, exitCode: null, shadowDatabaseUrl: null, filters: FILTERS };
      return (await engine.diff(asked)).stdout;
    },
    // `prisma migrate deploy`: {name: SQL}; the names of those that were applied now.
    deploy: async (migrations) => (await engine.applyMigrations({ migrationsList: list(migrations), filters: FILTERS })).appliedMigrationNames,
    // `prisma migrate resolve --rolled-back`
    rolledBack: (migrationName) => engine.markMigrationRolledBack({ migrationName }),
    // `prisma migrate status`
    status: (migrations) => engine.diagnoseMigrationHistory({ migrationsList: list(migrations), optInToShadowDatabase: false, filters: FILTERS }),
    close: () => adapter?.dispose(),
  };
}

function list(migrations) {
  return {
    baseDir: '/migrations',
    lockfile: { path: 'migration_lock.toml', content: 'provider = "postgresql"\n' },
    shadowDbInitScript: '',
    migrationDirectories: Object.entries(migrations).map(([path, value]) => ({
      path,
      migrationFile: { path: 'migration.sql', content: { tag: 'ok', value } },
    })),
  };
}

module.exports = { connect };
