// lib/pq with its defaults (TLS is required, parameters go by a statement that has no name),
// and with binary_parameters=yes, by which Parse, Bind and Execute go in one flight.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	. "poolwright.dev/drivers/lib"

	"github.com/lib/pq"
)

// All else is in the environment: PGHOST, PGPORT, PGUSER, PGDATABASE, PGPASSFILE.
func open(settings string) *sql.DB { return Got(sql.Open("postgres", settings)) }

func state(err error) string {
	var told *pq.Error
	if errors.As(err, &told) {
		return string(told.Code)
	}
	return fmt.Sprint(err)
}

func copyIn(db *sql.DB) {
	Got(db.Exec("CREATE TABLE IF NOT EXISTS copied (n int, t text)"))
	Got(db.Exec("TRUNCATE copied"))
	const count = 50_000
	tx := Got(db.Begin())
	statement := Got(tx.Prepare(pq.CopyIn("copied", "n", "t")))
	for n := range count {
		Got(statement.Exec(n, fmt.Sprint("text\t", n)))
	}
	Got(statement.Exec())
	Must(statement.Close())
	Must(tx.Commit())
	var rows, sum int
	Must(db.QueryRow("SELECT count(*), sum(n) FROM copied WHERE t = 'text' || chr(9) || n").Scan(&rows, &sum))
	Expect("rows and sum", []int{count, count * (count - 1) / 2}, []int{rows, sum})
}

func arrays(db *sql.DB) {
	var numbers []int64
	var texts []string
	row := db.QueryRow("SELECT $1::int8[], $2::text[]", pq.Array([]int64{1, 2}), pq.Array([]string{"a", "it's, \"b\""}))
	Must(row.Scan(pq.Array(&numbers), pq.Array(&texts)))
	Expect("arrays", []any{[]int64{1, 2}, []string{"a", "it's, \"b\""}}, []any{numbers, texts})
}

// A context that ends makes lib/pq cancel.
func deadline(db *sql.DB) {
	for n := range 3 {
		short, stop := context.WithTimeout(context.Background(), 200*time.Millisecond)
		_, err := db.ExecContext(short, "SELECT pg_sleep(60)")
		stop()
		Expect("the query fails", true, err != nil)
		var found int
		Must(db.QueryRow("SELECT $1::int", n).Scan(&found))
		Expect("afterwards", n, found)
	}
	var running int
	until := time.Now().Add(30 * time.Second)
	for ok := true; ok; ok = running > 0 {
		if time.Now().After(until) {
			panic("the cancelled queries still run")
		}
		Must(db.QueryRow("SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND state = 'active'").Scan(&running))
	}
}

func features() {
	listener := pq.NewListener("", time.Second, time.Minute, nil)
	db := open("")
	defer db.Close()
	Must(listener.Listen("news"))
	Got(db.Exec("NOTIFY news"))
	heard := 0
	select {
	case <-listener.Notify:
		heard++
	case <-time.After(500 * time.Millisecond):
	}
	Expect("LISTEN (pq.Listener)", 1, heard)
	Must(listener.Close())
	connection := Got(db.Conn(context.Background()))
	defer connection.Close()
	Got(connection.ExecContext(context.Background(), "SELECT pg_advisory_lock(5)"))
	held := -1
	Must(connection.QueryRowContext(context.Background(), "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()").Scan(&held))
	Expect("a session advisory lock across transactions", 1, held)
}

func main() {
	Version("github.com/lib/pq")
	var checks []Check
	for _, way := range [][2]string{{"defaults", ""}, {"binary_parameters", "binary_parameters=yes"}} {
		name, db := way[0], open(way[1])
		defer db.Close()
		checks = append(checks, StandardChecks(name, db, state)...)
		checks = append(checks,
			Check{name + ": arrays", func() { arrays(db) }},
			Check{name + ": COPY in of 50,000 rows", func() { copyIn(db) }},
			Check{name + ": a context that ends cancels", func() { deadline(db) }})
	}
	Run(append(checks, Check{"features of a session", features})...)
}
