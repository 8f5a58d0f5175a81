// golang-migrate with its defaults: a session advisory lock around each run, on a connection
// of its own, and a table that says which version is there and whether it is whole.
package main

import (
	"database/sql"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"time"

	. "poolwright.dev/drivers/lib"

	"github.com/golang-migrate/migrate/v4"
	_ "github.com/golang-migrate/migrate/v4/database/postgres"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	_ "github.com/lib/pq"
)

//go:embed migrations/*.sql
var files embed.FS

func open() *migrate.Migrate {
	return Got(migrate.NewWithSourceInstance("iofs", Got(iofs.New(files, "migrations")), os.Getenv("URL")))
}

func done(migrations *migrate.Migrate) {
	source, database := migrations.Close()
	Must(source)
	Must(database)
}

func expectVersion(migrations *migrate.Migrate, version uint, dirty bool) {
	found, foundDirty, err := migrations.Version()
	Must(err)
	Expect("version and dirty", []any{version, dirty}, []any{found, foundDirty})
}

func number(db *sql.DB, query string) (found int) {
	Must(db.QueryRow(query).Scan(&found))
	return
}

func upAndDown(db *sql.DB) {
	migrations := open()
	defer done(migrations)
	Must(migrations.Migrate(2))
	expectVersion(migrations, 2, false)
	Expect("rows", 2, number(db, "SELECT count(*) FROM accounts"))
	Must(migrations.Steps(-1))
	expectVersion(migrations, 1, false)
	Expect("a table that went", 0, number(db, "SELECT count(*) FROM pg_class WHERE relname = 'held'"))
	Must(migrations.Steps(1))
	Expect("a second run has nothing to do", migrate.ErrNoChange, migrations.Migrate(2))
}

// A client that is killed amid a migration leaves no query, no lock and no half of it.
func killed(db *sql.DB) {
	fmt.Println("warns connection not fit for reuse in time: closed")
	child := exec.Command(os.Args[0], "migrate")
	Must(child.Start())
	waitFor(db, "the migration's start", true)
	Must(child.Process.Kill())
	_ = child.Wait()
	waitFor(db, "the end of the killed migration", false)
	Expect("its table", 0, number(db, "SELECT count(*) FROM pg_class WHERE relname = 'half'"))
	migrations := open()
	defer done(migrations)
	expectVersion(migrations, 3, true)
	Must(migrations.Force(2))
	expectVersion(migrations, 2, false)
	Must(migrations.Down())
	Expect("tables afterwards", 0, number(db, "SELECT count(*) FROM pg_class WHERE relname IN ('accounts', 'held', 'half')"))
}

func waitFor(db *sql.DB, what string, running bool) {
	for until := time.Now().Add(30 * time.Second); time.Now().Before(until); time.Sleep(50 * time.Millisecond) {
		query := "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE TABLE half%' AND state = 'active'"
		if (number(db, query) > 0) == running {
			return
		}
	}
	panic(what + " did not happen within 30 s")
}

func locked(db *sql.DB) {
	migrations := open()
	defer done(migrations)
	Must(migrations.Migrate(2))
	Expect("the advisory lock held while a migration runs", 1, number(db, "SELECT locks FROM held"))
}

// The second waits for the first one's lock, and finds nothing left to do.
func twoAtOnce(db *sql.DB) {
	first, second := open(), open()
	defer done(first)
	defer done(second)
	Must(first.Down())
	ends := make(chan error)
	for _, migrations := range []*migrate.Migrate{first, second} {
		go func() { ends <- migrations.Migrate(2) }()
	}
	found := map[error]int{<-ends: 1}
	found[<-ends]++
	Expect("how they ended", map[error]int{nil: 1, migrate.ErrNoChange: 1}, found)
	expectVersion(first, 2, false)
	Expect("rows", 2, number(db, "SELECT count(*) FROM accounts"))
}

func main() {
	if len(os.Args) > 1 {
		fmt.Println(open().Up())
		return
	}
	Version("github.com/golang-migrate/migrate/v4")
	db := Got(sql.Open("postgres", ""))
	defer db.Close()
	Run(
		Check{"migrations up, down and up again", func() { upAndDown(db) }},
		Check{"a client that is killed amid a migration", func() { killed(db) }},
		Check{"a lock while migrations run", func() { locked(db) }},
		Check{"two at once", func() { twoAtOnce(db) }},
	)
}
