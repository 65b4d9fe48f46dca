package realservice

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	"chatd/internal/services"
)

// sharedMariaDB is used by all tests of a process. It is started once, and
// killed by its folder's cleaner when the process ends.
var sharedMariaDB struct {
	sync.Mutex
	server    *MariaDBServer
	databases int
}

// processTemp is the folder for temporary files. A test may set another one later.
var processTemp = os.TempDir()

// emptyMariaDB is copied to each new server, as creating one takes seconds. It is never
// started. The cleaner of its folder deletes it when the process ends.
var emptyMariaDB struct {
	sync.Mutex
	*services.MariaDB
}

// MariaDBServer is a MariaDB for one test.
type MariaDBServer struct {
	Server
	mariadb *services.MariaDB
}

// MariaDB returns the URL of a new, empty database on a server that all tests of
// the process share: mysql://root@127.0.0.1:PORT/NAME. The database is dropped
// when the test ends.
func MariaDB(t testing.TB) string {
	t.Helper()
	sharedMariaDB.Lock()
	defer sharedMariaDB.Unlock()
	if sharedMariaDB.server == nil {
		// The data needn't survive a power failure, and syncing takes most of the time.
		sharedMariaDB.server = launchMariaDB(t, "--innodb-flush-log-at-trx-commit=0")
	}
	sharedMariaDB.databases++
	m, name := sharedMariaDB.server, fmt.Sprintf("chatd_%d", sharedMariaDB.databases)
	m.SQL(t, "CREATE DATABASE "+name)
	t.Cleanup(func() { m.SQL(t, "DROP DATABASE "+name) })
	return m.mariadb.URL(name)
}

// NewMariaDB starts a MariaDB for this test, which may kill or freeze it. The
// URL is that of an empty database "chatd". args are additional arguments for
// mariadbd.
func NewMariaDB(t testing.TB, args ...string) *MariaDBServer {
	t.Helper()
	m := launchMariaDB(t, args...)
	t.Cleanup(func() { m.close(t) })
	m.SQL(t, "CREATE DATABASE chatd")
	m.URL = m.mariadb.URL("chatd")
	return m
}

// newEmptyMariaDB creates emptyMariaDB unless it exists.
func newEmptyMariaDB(t testing.TB) *services.MariaDB {
	t.Helper()
	emptyMariaDB.Lock()
	defer emptyMariaDB.Unlock()
	if emptyMariaDB.MariaDB == nil {
		f, err := services.NewFolder(processTemp, "chatd-test-")
		requireNoError(t, err)
		emptyMariaDB.MariaDB, err = services.NewMariaDB(context.Background(), f, 0)
		requireNoError(t, err)
	}
	return emptyMariaDB.MariaDB
}

func launchMariaDB(t testing.TB, args ...string) *MariaDBServer {
	t.Helper()
	empty := newEmptyMariaDB(t)
	m := &MariaDBServer{}
	m.Server = launch(t, func(f *services.Folder) (*services.Service, error) {
		var err error
		if m.mariadb, err = services.NewMariaDBFrom(context.Background(), f, empty, 0, args...); err != nil {
			return nil, err
		}
		return m.mariadb.Service, nil
	})
	m.Port = m.mariadb.Port(0)
	return m
}

// SQL runs statements with the MariaDB client and returns its output: one line
// per row, columns separated by tabs, no header.
func (m *MariaDBServer) SQL(t testing.TB, statements string) string {
	t.Helper()
	out, err := m.mariadb.SQL(context.Background(), statements)
	requireNoError(t, err)
	return out
}
