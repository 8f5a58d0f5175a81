<?php
// How a client's check in PHP tells its results; README.md has the words that drivers.sh reads.
// The first failure ends the program.

declare(strict_types=1);

const CLIENTS = 8;
const ROUNDS = 40;

function expect(string $what, mixed $expected, mixed $found): void
{
    if ($expected !== $found) {
        throw new RuntimeException("$what: expected " . short($expected) . ', found ' . short($found));
    }
}

// The documented behaviour of a feature that the pooler has not got.
function expect_not_yet(string $what, mixed $documented, mixed $found): void
{
    if ($documented !== $found) {
        throw new RuntimeException("$what: expected the documented " . short($documented) . ', found ' . short($found)
            . '; if the pooler has it now, expect it here and in docs/compatibility.md');
    }
    echo "not yet $what: ", short($documented), "\n";
}

function short(mixed $value): string
{
    return substr(json_encode($value, JSON_INVALID_UTF8_SUBSTITUTE), 0, 300);
}

// run(['name' => check, …]) runs the checks in this order.
function run(array $checks): void
{
    foreach ($checks as $name => $check) {
        try {
            $check();
        } catch (Throwable $error) {
            echo $error, "\nFAILED $name: ", strtok($error->getMessage(), "\n"), "\n";
            exit(1);
        }
        echo "ok $name\n";
    }
    echo "done\n";
}
