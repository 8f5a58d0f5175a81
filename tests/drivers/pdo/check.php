<?php
// PDO with its defaults: each prepare() makes a named statement, which PHP gives up with an SQL
// DEALLOCATE of that name when the object goes.

declare(strict_types=1);

require __DIR__ . '/../lib/checks.php';

// All is in the environment: PGHOST, PGPORT, PGUSER, PGDATABASE, PGPASSFILE.
function connect(): PDO
{
    return new PDO('pgsql:');
}

function rows(PDO $db, string $sql, array $values = []): array
{
    $statement = $db->prepare($sql);
    $statement->execute($values);
    return $statement->fetchAll(PDO::FETCH_NUM);
}

function state(callable $work): mixed
{
    try {
        return $work();
    } catch (PDOException $error) {
        return $error->errorInfo[0];
    }
}

// One of 8 processes: writes its rows for the one that started it.
function client(string $number): void
{
    $db = connect();
    // Kept for the whole run: one that goes inside a transaction spoils it, see the last check.
    $ask = $db->prepare('SELECT ?::text, pg_backend_pid()');
    $again = $db->prepare('SELECT pg_backend_pid() FROM pg_sleep(0.001)');
    for ($n = 0; $n < ROUNDS; $n++) {
        $mark = "client $number round $n";
        $db->beginTransaction();
        $ask->execute([$mark]);
        $again->execute();
        $db->commit();
        echo json_encode([$mark, ...$ask->fetch(PDO::FETCH_NUM), $again->fetchColumn()]), "\n";
    }
}

if (($argv[1] ?? '') === 'client') {
    client($argv[2]);
    exit(0);
}

echo 'version ', PHP_VERSION, ' (libpq ', connect()->getAttribute(PDO::ATTR_CLIENT_VERSION), ")\n";

run([
    'parameters come back as they went' => function () {
        $db = connect();
        $long = str_repeat('x', 8_000_000);
        $sent = [1 << 40, "it's ünïcode ✓ \\", null, $long];
        for ($n = 0; $n < 3; $n++) {
            expect('values', [$sent], rows($db, 'SELECT ?::int8, ?::text, ?::text, ?::text', $sent));
            $statement = $db->prepare('SELECT :a::bytea, :b::bool');
            $statement->bindValue('a', "\x00\xff", PDO::PARAM_LOB);
            $statement->bindValue('b', true, PDO::PARAM_BOOL);
            $statement->execute();
            [$bytes, $truth] = $statement->fetch(PDO::FETCH_NUM);
            expect('bytes and truth', ["\x00\xff", true], [stream_get_contents($bytes), $truth]);
        }
    },

    'a prepared statement follows its client to both server connections' => function () {
        [$client, $first, $second] = [connect(), connect(), connect()];
        $statement = $client->prepare('SELECT ?::int * 2, pg_backend_pid()');
        $statement->execute([0]);
        foreach ([$first, $second] as $holder) {
            $holder->beginTransaction();
            $holder->exec('SELECT 1');
        }
        foreach ([$first, $second] as $holder) {
            $free = $holder->query('SELECT pg_backend_pid()')->fetchColumn();
            $holder->rollBack();
            for ($n = 0; $n < 3; $n++) {
                $statement->execute([$n]);
                expect('on the only free server', [$n * 2, $free], $statement->fetch(PDO::FETCH_NUM));
            }
            $holder->beginTransaction();
            $holder->exec('SELECT 1');
        }
    },

    'statements that come and go, 300 times' => function () {
        $db = connect();
        for ($n = 0; $n < 300; $n++) {
            expect('sum', [[$n + 5]], rows($db, "SELECT ?::int + $n", [5]));
        }
    },

    'statements that come and go inside a transaction (DEALLOCATE)' => function () {
        $db = connect();
        $db->beginTransaction();
        for ($n = 0; $n < 10; $n++) {
            expect('value', [[$n]], rows($db, 'SELECT ?::int', [$n]));
        }
        $db->commit();
    },

    'a rollback, a savepoint, and an error inside a transaction' => function () {
        $db = connect();
        $db->exec('CREATE TABLE account (id int PRIMARY KEY, amount int)');
        rows($db, 'INSERT INTO account VALUES (?, ?)', [1, 100]);
        for ($n = 0; $n < 10; $n++) {
            $db->beginTransaction();
            $db->exec('UPDATE account SET amount = 0');
            expect('the error', '22012', state(fn () => rows($db, 'SELECT 1 / ?::int', [0])));
            expect('after it', '25P02', state(fn () => rows($db, 'SELECT ?::int', [0])));
            $db->rollBack();
            expect('after rollback', [[100]], rows($db, 'SELECT amount FROM account WHERE id = ?', [1]));
        }
    },

    'COPY in and out of 20,000 rows' => function () {
        $db = connect();
        $db->exec('CREATE TABLE copied (n int, t text)');
        $lines = array_map(fn ($n) => "$n\ttext $n\n", range(0, 19_999));
        $db->pgsqlCopyFromArray('copied', $lines);
        expect('rows', true, $lines === $db->pgsqlCopyToArray('copied'));
    },

    '8 clients read their own rows' => function () {
        $processes = [];
        for ($number = 0; $number < CLIENTS; $number++) {
            $processes[] = [proc_open([PHP_BINARY, __FILE__, 'client', (string) $number], [1 => ['pipe', 'w']], $pipes), $pipes[1]];
        }
        $servers = [];
        foreach ($processes as [$process, $out]) {
            $lines = explode("\n", trim(stream_get_contents($out)));
            expect('rows', ROUNDS, count($lines));
            foreach ($lines as $line) {
                [$mark, $found, $server, $again] = json_decode($line);
                expect('the mark and its server', [$mark, $server], [$found, $again]);
                $servers[$server] = true;
            }
            expect('its status', 0, proc_close($process));
        }
        expect('at most 2 server connections: ' . short($servers), true, count($servers) <= 2);
    },

    'a timeout of the server' => function () {
        $db = connect();
        $db->beginTransaction();
        $db->exec("SET LOCAL statement_timeout = '50ms'");
        expect('the error', '57014', state(fn () => $db->query('SELECT pg_sleep(60)')));
        $db->rollBack();
        expect('afterwards', [[1]], rows($db, 'SELECT ?::int', [1]));
    },

    'lastInsertId within the transaction of its INSERT' => function () {
        $db = connect();
        $db->exec('CREATE TABLE keyed (id serial PRIMARY KEY, t text)');
        $db->beginTransaction();
        $db->exec("INSERT INTO keyed (t) VALUES ('a')");
        expect('id', '1', $db->lastInsertId());
        $db->commit();
    },

    'features of a session, as documented' => function () {
        $db = connect();
        $db->exec("INSERT INTO keyed (t) VALUES ('b')");
        expect_not_yet('lastInsertId (lastval) outside a transaction', '55000', state(fn () => $db->lastInsertId()));
        $db->exec('CREATE TEMPORARY TABLE mine (n int)');
        expect('a temporary table across transactions', [], $db->query('SELECT * FROM mine')->fetchAll());
    },
]);
