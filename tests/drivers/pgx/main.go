// pgx with its defaults: each connection prepares and keeps up to 512 statements. Native,
// by its pool, and under database/sql.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	. "poolwright.dev/drivers/lib"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"
)

var ctx = context.Background()

// All is in the environment: PGHOST, PGPORT, PGUSER, PGDATABASE, PGPASSFILE.
func connect() *pgx.Conn { return Got(pgx.Connect(ctx, "")) }

func one[T any](row pgx.Row) (value T) {
	Must(row.Scan(&value))
	return
}

func state(err error) string {
	var told *pgconn.PgError
	if errors.As(err, &told) {
		return told.Code
	}
	return fmt.Sprint(err)
}

func manyTypes() {
	client := connect()
	defer client.Close(ctx)
	at := time.Date(2024, 2, 29, 23, 59, 58, 123456000, time.UTC)
	decimal := pgtype.Numeric{Int: big.NewInt(123456789), Exp: -4, Valid: true}
	for range 3 {
		var number int64
		var text string
		var raw []byte
		var nothing *string
		var when time.Time
		var numeric pgtype.Numeric
		var list []int32
		var object map[string]any
		row := client.QueryRow(ctx, "SELECT $1::int8, $2::text, $3::bytea, $4::text, $5::timestamptz, $6::numeric, $7::int4[], $8::jsonb",
			int64(1)<<40, "it's ünïcode ✓", []byte{0, 255}, nil, at, decimal, []int32{1, 2, 3}, map[string]any{"a": "b"})
		Must(row.Scan(&number, &text, &raw, &nothing, &when, &numeric, &list, &object))
		Expect("values", []any{int64(1) << 40, "it's ünïcode ✓", []byte{0, 255}, true, true, []int32{1, 2, 3}, map[string]any{"a": "b"}},
			[]any{number, text, raw, nothing == nil, when.Equal(at), list, object})
		Expect("numeric", 0, new(big.Int).Mul(numeric.Int, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(numeric.Exp+4)), nil)).Cmp(decimal.Int))
	}
}

func follows() {
	client, first, second := connect(), connect(), connect()
	for _, connection := range []*pgx.Conn{client, first, second} {
		defer connection.Close(ctx)
	}
	query := "SELECT $1::int * 2, pg_backend_pid()"
	Got(client.Exec(ctx, query, 1))
	held := map[*pgx.Conn]pgx.Tx{}
	hold := func(connection *pgx.Conn) {
		held[connection] = Got(connection.Begin(ctx))
		Got(held[connection].Exec(ctx, "SELECT 1"))
	}
	hold(first)
	hold(second)
	for _, holder := range []*pgx.Conn{first, second} {
		free := one[int](held[holder].QueryRow(ctx, "SELECT pg_backend_pid()"))
		Must(held[holder].Rollback(ctx))
		for n := range 3 {
			var double, pid int
			Must(client.QueryRow(ctx, query, n).Scan(&double, &pid))
			Expect("on the only free server", []int{n * 2, free}, []int{double, pid})
		}
		hold(holder)
	}
	for _, tx := range held {
		Must(tx.Rollback(ctx))
	}
}

func manyStatements() {
	client := connect()
	defer client.Close(ctx)
	for range 2 {
		for n := range 300 {
			Expect("sum", n+5, one[int](client.QueryRow(ctx, fmt.Sprintf("SELECT $1::int + %d", n), 5)))
		}
	}
}

// A batch is a pipeline with one Sync.
func batch() {
	client := connect()
	defer client.Close(ctx)
	Got(client.Exec(ctx, "CREATE TABLE batched (n int PRIMARY KEY, t text)"))
	for round := range 3 {
		batch := &pgx.Batch{}
		for n := range 500 {
			batch.Queue("INSERT INTO batched VALUES ($1, $2)", round*500+n, fmt.Sprint("row ", n))
			batch.Queue("SELECT $1::int", n).QueryRow(func(row pgx.Row) error {
				Expect("its row", n, one[int](row))
				return nil
			})
		}
		Must(client.SendBatch(ctx, batch).Close())
	}
	Expect("rows", 1500, one[int](client.QueryRow(ctx, "SELECT count(*) FROM batched")))
}

func errorInBatch() {
	client := connect()
	defer client.Close(ctx)
	for n := range 5 {
		batch := &pgx.Batch{}
		batch.Queue("SELECT $1::text", "before")
		batch.Queue("SELECT 1 / $1::int", 0)
		batch.Queue("SELECT $1::text", "aborted")
		results := client.SendBatch(ctx, batch)
		Expect("before", "before", one[string](results.QueryRow()))
		_, err := results.Exec()
		Expect("the error", "22012", state(err))
		_, err = results.Exec()
		Expect("the aborted one fails", true, err != nil)
		_ = results.Close()
		Expect("afterwards", n, one[int](client.QueryRow(ctx, "SELECT $1::int", n)))
	}
}

func copies() {
	client := connect()
	defer client.Close(ctx)
	Got(client.Exec(ctx, "CREATE TABLE copied (n int, t text)"))
	const count = 50_000
	rows := pgx.CopyFromSlice(count, func(n int) ([]any, error) { return []any{n, fmt.Sprint("text\t", n)}, nil })
	Expect("copied", int64(count), Got(client.CopyFrom(ctx, pgx.Identifier{"copied"}, []string{"n", "t"}, rows)))
	out := &strings.Builder{}
	Got(client.PgConn().CopyTo(ctx, out, "COPY (SELECT n FROM copied ORDER BY n) TO STDOUT"))
	for n, line := range strings.Fields(out.String()) {
		Expect("row", fmt.Sprint(n), line)
	}
	Expect("rows", count, len(strings.Fields(out.String())))
	failing := pgx.CopyFromFunc(func() ([]any, error) { return nil, errors.New("given up") })
	_, err := client.CopyFrom(ctx, pgx.Identifier{"copied"}, []string{"n", "t"}, failing)
	Expect("given up", true, err != nil)
	Expect("no row of it", count, one[int](client.QueryRow(ctx, "SELECT count(*) FROM copied")))
}

func ownRows() {
	pool := Got(pgxpool.New(ctx, ""))
	defer pool.Close()
	OwnRows(func(client int, seen func(string, string, int)) {
		for n := range Rounds {
			mark := fmt.Sprintf("client %d round %d", client, n)
			Must(pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
				var found string
				var server int
				Must(tx.QueryRow(ctx, "SELECT $1::text, pg_backend_pid()", mark).Scan(&found, &server))
				Expect("one server in a transaction", server, one[int](tx.QueryRow(ctx, "SELECT pg_backend_pid() FROM pg_sleep(0.001)")))
				seen(mark, found, server)
				return nil
			}))
		}
	})
}

func cancelled() {
	client, other := connect(), connect()
	defer client.Close(ctx)
	defer other.Close(ctx)
	done := make(chan error)
	go func() { _, err := client.Exec(ctx, "SELECT pg_sleep(60)"); done <- err }()
	for one[int](other.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND state = 'active'")) == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	Must(client.PgConn().CancelRequest(ctx))
	Expect("the error", "57014", state(<-done))
	Expect("the client afterwards", 1, one[int](client.QueryRow(ctx, "SELECT $1::int", 1)))
	Expect("its neighbour", 2, one[int](other.QueryRow(ctx, "SELECT $1::int", 2)))
}

// A context that ends makes pgx close its connection; the query must not go on.
func deadline() {
	other := connect()
	defer other.Close(ctx)
	for range 3 {
		client := connect()
		short, stop := context.WithTimeout(ctx, 200*time.Millisecond)
		_, err := client.Exec(short, "SELECT pg_sleep(61)")
		stop()
		Expect("the error", true, errors.Is(err, context.DeadlineExceeded))
	}
	until := time.Now().Add(30 * time.Second)
	running := "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(61)' AND state = 'active'"
	for one[int](other.QueryRow(ctx, running)) > 0 {
		if time.Now().After(until) {
			panic("the queries of clients that have gone still run")
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func session() {
	client, other := connect(), connect()
	defer client.Close(ctx)
	defer other.Close(ctx)
	Got(client.Exec(ctx, "LISTEN news"))
	Got(other.Exec(ctx, "NOTIFY news"))
	short, stop := context.WithTimeout(ctx, 500*time.Millisecond)
	defer stop()
	note := Got(client.WaitForNotification(short))
	Expect("LISTEN (WaitForNotification)", "news", note.Channel)
	Must(client.Close(ctx))
	client = connect()
	defer client.Close(ctx)
	Got(client.Exec(ctx, "SELECT pg_advisory_lock(5)"))
	held := "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
	Expect("a session advisory lock across transactions", 1, one[int](client.QueryRow(ctx, held)))
	Got(client.Exec(ctx, "SET lock_timeout = '4s'"))
	Expect("SET of lock_timeout across transactions", "4s", one[string](client.QueryRow(ctx, "SHOW lock_timeout")))
	Got(client.Exec(ctx, "CREATE TEMPORARY TABLE mine (n int)"))
	Got(client.Exec(ctx, "INSERT INTO mine VALUES ($1)", 1))
	Expect("a temporary table across transactions", 1, one[int](client.QueryRow(ctx, "SELECT n FROM mine")))
}

func main() {
	Version("github.com/jackc/pgx/v5")
	db := Got(sql.Open("pgx", ""))
	defer db.Close()
	checks := []Check{
		{"parameters of many types come back as they went", manyTypes},
		{"a prepared statement follows its client to both server connections", follows},
		{"300 statements, more than a server connection keeps", manyStatements},
		{"a batch of 1,000 statements", batch},
		{"an error in a batch", errorInBatch},
		{"COPY in (binary) and out, and one that is given up", copies},
		{"8 users of a pgxpool read their own rows", ownRows},
		{"a cancel", cancelled},
		{"a context that ends", deadline},
	}
	checks = append(checks, StandardChecks("database/sql", db, state)...)
	Run(append(checks, Check{"features of a session", session})...)
}
