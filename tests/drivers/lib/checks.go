// Package checks is how a client's check in Go tells its results, and what those
// checks share. The first failure ends the program; README.md has the words that
// drivers.sh reads.
package checks

import (
	"database/sql"
	"fmt"
	"os"
	"reflect"
	"runtime/debug"
	"strings"
	"sync"
)

// Clients and Rounds say how much OwnRows asks for.
const (
	Clients = 8
	Rounds  = 40
)

// Check is one check and its name.
type Check struct {
	Name string
	Run  func()
}

type wrong string

// Version tells which version of a module was built in.
func Version(module string) {
	info, _ := debug.ReadBuildInfo()
	for _, dependency := range info.Deps {
		if dependency.Path == module {
			fmt.Println("version", strings.TrimPrefix(dependency.Version, "v"))
		}
	}
}

// Run runs the checks in this order.
func Run(checks ...Check) {
	for _, check := range checks {
		runOne(check)
		fmt.Println("ok", check.Name)
	}
	fmt.Println("done")
}

func runOne(check Check) {
	defer func() {
		if problem := recover(); problem != nil {
			fmt.Printf("FAILED %s: %s\n", check.Name, strings.SplitN(fmt.Sprint(problem), "\n", 2)[0])
			debug.PrintStack()
			os.Exit(1)
		}
	}()
	check.Run()
}

// Must ends the check on an error.
func Must(err error) {
	if err != nil {
		panic(err)
	}
}

// Got is a value that came without an error.
func Got[T any](value T, err error) T {
	Must(err)
	return value
}

// Expect ends the check unless both are equal.
func Expect(what string, expected, found any) {
	if !reflect.DeepEqual(expected, found) {
		panic(wrong(fmt.Sprintf("%s: expected %v, found %v", what, expected, found)))
	}
}

// OwnRows has 8 clients at once; each must read its own marks, over 2 server connections.
func OwnRows(client func(client int, seen func(mark, found string, server int))) {
	var all sync.Mutex
	var group sync.WaitGroup
	servers := map[int]bool{}
	problems := make(chan any, Clients)
	for number := range Clients {
		group.Add(1)
		go func() {
			defer group.Done()
			defer func() {
				if problem := recover(); problem != nil {
					problems <- problem
				}
			}()
			client(number, func(mark, found string, server int) {
				Expect("the client's mark", mark, found)
				all.Lock()
				defer all.Unlock()
				servers[server] = true
			})
		}()
	}
	group.Wait()
	close(problems)
	for problem := range problems {
		panic(problem)
	}
	if len(servers) > 2 {
		panic(wrong(fmt.Sprintf("expected at most 2 server connections, found %v", servers)))
	}
}

// StandardChecks are those of any driver under database/sql; `state` reads an error's SQLSTATE.
func StandardChecks(name string, db *sql.DB, state func(error) string) []Check {
	return []Check{
		{name + ": parameters come back as they went", func() { parameters(db) }},
		{name + ": a prepared statement follows its client to both server connections", func() { bothServers(db) }},
		{name + ": a statement of the pool (sql.Stmt) in many transactions", func() { poolStatement(db) }},
		{name + ": a rollback, and an error inside a transaction", func() { transactions(db, state) }},
		{name + ": 8 clients read their own rows", func() { standardOwnRows(db) }},
	}
}

func parameters(db *sql.DB) {
	var number int64
	var text, long string
	var bytes []byte
	var nothing sql.NullString
	for range 3 {
		sent := []any{int64(1) << 40, "it's ünïcode ✓ \\", []byte("\x00\xff bytes"), nil, strings.Repeat("x", 8_000_000)}
		row := db.QueryRow("SELECT $1::int8, $2::text, $3::bytea, $4::text, $5::text", sent...)
		Must(row.Scan(&number, &text, &bytes, &nothing, &long))
		Expect("values", sent, []any{number, text, bytes, nil, long})
		Expect("null", false, nothing.Valid)
	}
}

// serverOf begins a transaction and tells which server it holds.
func serverOf(connection *sql.DB) (*sql.Tx, int) {
	var pid int
	tx := Got(connection.Begin())
	Must(tx.QueryRow("SELECT pg_backend_pid()").Scan(&pid))
	return tx, pid
}

func bothServers(db *sql.DB) {
	statement := Got(db.Prepare("SELECT $1::int * 2, pg_backend_pid()"))
	defer statement.Close()
	first, firstPid := serverOf(db)
	second, secondPid := serverOf(db)
	ask := func(free int) {
		for n := range 3 {
			var double, pid int
			Must(statement.QueryRow(n).Scan(&double, &pid))
			Expect("on the only free server", []int{n * 2, free}, []int{double, pid})
		}
	}
	Must(first.Rollback())
	ask(firstPid)
	first, again := serverOf(db)
	Expect("the free server", firstPid, again)
	Must(second.Rollback())
	ask(secondPid)
	Must(first.Rollback())
}

func poolStatement(db *sql.DB) {
	statement := Got(db.Prepare("SELECT $1::int + 1"))
	defer statement.Close()
	for n := range 100 {
		tx := Got(db.Begin())
		var found int
		Must(tx.Stmt(statement).QueryRow(n).Scan(&found))
		Expect("sum", n+1, found)
		Must(tx.Commit())
	}
}

func transactions(db *sql.DB, state func(error) string) {
	Got(db.Exec("CREATE TABLE IF NOT EXISTS account (id int PRIMARY KEY, amount int)"))
	Got(db.Exec("INSERT INTO account VALUES ($1, $2) ON CONFLICT DO NOTHING", 1, 100))
	for range 10 {
		tx := Got(db.Begin())
		Got(tx.Exec("UPDATE account SET amount = $1", 0))
		Must(tx.Rollback())
		tx = Got(db.Begin())
		_, err := tx.Exec("SELECT 1 / $1::int", 0)
		Expect("the error", "22012", state(err))
		_, err = tx.Exec("SELECT $1::int", 2)
		Expect("after it", "25P02", state(err))
		Must(tx.Rollback())
		var amount int
		Must(db.QueryRow("SELECT amount FROM account WHERE id = $1", 1).Scan(&amount))
		Expect("after rollback", 100, amount)
	}
}

func standardOwnRows(db *sql.DB) {
	OwnRows(func(client int, seen func(string, string, int)) {
		for n := range Rounds {
			mark := fmt.Sprintf("client %d round %d", client, n)
			tx := Got(db.Begin())
			var found, again string
			var server, same int
			Must(tx.QueryRow("SELECT $1::text, pg_backend_pid()", mark).Scan(&found, &server))
			Must(tx.QueryRow("SELECT $1::text, pg_backend_pid() FROM pg_sleep(0.001)", mark).Scan(&again, &same))
			Must(tx.Commit())
			Expect("one server in a transaction", []any{found, server}, []any{again, same})
			seen(mark, found, server)
		}
	})
}
