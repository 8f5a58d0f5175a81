// How a client's check in JavaScript tells its results, and what those checks share. The
// first failure ends the program; README.md has the words that drivers.sh reads.
'use strict';

const { readFileSync } = require('node:fs');
const { delimiter, join } = require('node:path');
const { isDeepStrictEqual, inspect } = require('node:util');

const CLIENTS = 8;
const ROUNDS = 40;

// Tells the version of an installed package.
function version(name) {
  const file = join(process.env.NODE_PATH.split(delimiter)[0], name, 'package.json');
  console.log('version', JSON.parse(readFileSync(file, 'utf8')).version);
}

function expect(what, expected, found) {
  if (!isDeepStrictEqual(found, expected)) {
    throw new Error(`${what}: expected ${short(expected)}, found ${short(found)}`);
  }
}

const short = (value) => inspect(value, { breakLength: Infinity }).slice(0, 300);

// The SQLSTATE with which a promise fails, or the value that it gives.
async function stateOf(promise) {
  try {
    return { value: await promise };
  } catch (error) {
    return error.code ?? error.message;
  }
}

// Eight clients at once; `client(number, seen)` calls seen(mark, found, server) for each row.
async function expectOwnRows(client) {
  const servers = new Set();
  const all = Array.from({ length: CLIENTS }, async (_, number) => {
    let rows = 0;
    await client(number, (mark, found, server) => {
      expect("the client's mark", mark, found);
      servers.add(server);
      rows += 1;
    });
    expect('rows', ROUNDS, rows);
  });
  await Promise.all(all);
  if (servers.size > 2) throw new Error(`expected at most 2 server connections, found ${[...servers]}`);
}

// Runs {name: check} in this order.
async function run(checks) {
  for (const [name, check] of Object.entries(checks)) {
    try {
      await check();
    } catch (error) {
      console.error(error);
      console.log(`FAILED ${name}: ${String(error.message).split('\n')[0]}`);
      process.exit(1);
    }
    console.log('ok', name);
  }
  console.log('done');
}

module.exports = { ROUNDS, expect, expectOwnRows, run, stateOf, version };
