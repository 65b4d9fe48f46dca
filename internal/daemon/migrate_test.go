package daemon

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"chatd/internal/realservice"
	"chatd/model"
)

// An operator can move a SQLite database to MariaDB and back: accounts stay,
// invalid migrations are refused, and the password is never printed.
func TestMigrate(t *testing.T) {
	clean(t)
	dir := t.TempDir()
	m := realservice.NewMariaDB(t)
	m.SQL(t, `CREATE USER chat@'%' IDENTIFIED BY 'p@ss/word'; GRANT ALL ON chatd.* TO chat@'%'`)
	file, server, back := "sqlite:"+dir+"/chat.db", fmt.Sprintf("mysql://chat:p%%40ss%%2Fword@127.0.0.1:%d/chatd", m.Port), "sqlite:"+dir+"/back.db"
	open := func(url string) *model.DB {
		db, err := model.Open(context.Background(), model.Options{DB: url})
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	source := open(file)
	id, err := source.CreateUser(context.Background(), "Ann", "ann", "hash")
	if err != nil {
		t.Fatal(err)
	}
	run := func(from, to string, code int, want string) {
		t.Helper()
		var out bytes.Buffer
		if got := Main("", []string{"migrate", "--from", from, "--to", to}, os.Stdin, &out, &out); got != code {
			t.Errorf("exit code %d, want %d: %s", got, code, &out)
		}
		if text := out.String(); !strings.Contains(text, want) || strings.Contains(text, "ss/word") || strings.Contains(text, "ss%2Fword") {
			t.Errorf("migrate %s %s printed %q, want %q and no password", from, to, text, want)
		}
	}
	run(file, server, exitError, "in use by another process")
	if err := source.Close(); err != nil {
		t.Fatal(err)
	}
	run("sqlite:"+dir+"/none.db", server, exitError, "none.db doesn't exist")
	run(file, server, exitDone, "1 users, 0 conversations and 0 messages")
	run(file, server, exitError, "the target isn't empty, its table users has rows")
	run(server, back, exitDone, "1 users")
	store := open(back)
	defer store.Close()
	if u, err := store.UserByNameKey(context.Background(), "ann"); err != nil || u.ID != id {
		t.Errorf("after the migrations: user ann = %+v, %v; want id %d", u, err, id)
	}
}
