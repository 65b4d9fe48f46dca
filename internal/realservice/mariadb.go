package realservice

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
)

// shared is the MariaDB of all tests of a process. It is started once and
// ends with the process: its guard sees to that.
var shared struct {
	sync.Mutex
	server    *MariaDBServer
	databases int
}

// MariaDBServer is a MariaDB of a test's own.
type MariaDBServer struct {
	Server
	client string
}

// MariaDB returns the URL of a fresh, empty database on a MariaDB that all
// tests of the process share: mysql://root@127.0.0.1:PORT/NAME. It is dropped
// when the test ends.
func MariaDB(t testing.TB) string {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		// Nothing here has to outlive a power cut, and to sync costs most of the time.
		m := newMariaDB(t, "--innodb-flush-log-at-trx-commit=0")
		m.launch(t)
		shared.server = m
	}
	shared.databases++
	m, name := shared.server, fmt.Sprintf("chatd_%d", shared.databases)
	m.SQL(t, "CREATE DATABASE "+name)
	t.Cleanup(func() { m.SQL(t, "DROP DATABASE "+name) })
	return m.url(name)
}

// NewMariaDB starts a MariaDB for this test alone, which may kill or freeze
// it. Its URL ends with a database's name: "chatd", which is there and empty.
// More arguments for mariadbd may be given, as on its command line.
func NewMariaDB(t testing.TB, args ...string) *MariaDBServer {
	t.Helper()
	m := newMariaDB(t, args...)
	m.launch(t)
	t.Cleanup(func() { m.end(t) })
	m.SQL(t, "CREATE DATABASE chatd")
	m.URL = m.url("chatd")
	return m
}

// newMariaDB lays out the files of a MariaDB.
func newMariaDB(t testing.TB, args ...string) *MariaDBServer {
	t.Helper()
	path, install := find(t, "mariadbd"), find(t, "mariadb-install-db")
	m := &MariaDBServer{client: find(t, "mariadb"), Server: Server{name: "mariadbd", folder: newFolder(t)}}
	data := filepath.Join(m.folder, "data")
	// A server that starts removes what others have in a shared folder of temporary files.
	temporary := filepath.Join(m.folder, "tmp")
	if err := os.Mkdir(temporary, 0o700); err != nil {
		t.Fatal(err)
	}
	common := []string{"--no-defaults", "--datadir=" + data, "--tmpdir=" + temporary, "--skip-name-resolve"}
	if os.Getuid() == 0 {
		common = append(common, "--user=root") // it refuses to be root unless told
	}
	out, err := exec.Command(install, append(common, "--auth-root-authentication-method=normal", "--skip-test-db")...).CombinedOutput()
	if err != nil {
		_ = os.RemoveAll(m.folder) // the test fails anyway
		t.Fatalf("mariadb-install-db: %v\n%s", err, out)
	}
	// A greeting is the first thing it sends, once it takes connections.
	m.ready = func(c net.Conn) error {
		_, err := c.Read(make([]byte, 1))
		return err
	}
	m.start = func() (*process, error) {
		return start(m.folder, path, append(append(common, "--socket="+filepath.Join(m.folder, "socket"), "--pid-file="+filepath.Join(m.folder, "pid"),
			"--bind-address=127.0.0.1", "--port="+strconv.Itoa(m.Port), "--skip-log-bin"), args...)...)
	}
	return m
}

func (m *MariaDBServer) url(database string) string {
	return fmt.Sprintf("mysql://root@%s/%s", address(m.Port), database)
}

// SQL runs statements through the MariaDB client and returns what it prints:
// rows as lines, columns separated by tabs, without a heading.
func (m *MariaDBServer) SQL(t testing.TB, statements string) string {
	t.Helper()
	out, err := exec.Command(m.client, "--no-defaults", "--protocol=tcp", "--host=127.0.0.1", "--port="+strconv.Itoa(m.Port),
		"--user=root", "--batch", "--skip-column-names", "--execute="+statements).CombinedOutput()
	if err != nil {
		t.Fatalf("mariadb: %s: %v\n%s", statements, err, out)
	}
	return string(out)
}
