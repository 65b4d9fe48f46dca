package services

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// MariaDB is a MariaDB server. The user root has no password.
type MariaDB struct {
	*Service
	path, client string
}

// MariaDBPrograms are the programs that NewMariaDB needs.
var MariaDBPrograms = []string{"mariadbd", "mariadb-install-db", "mariadb"}

// NewMariaDB creates an empty MariaDB in f, and doesn't start it. args are
// additional arguments for mariadbd. If port is 0, it chooses one.
func NewMariaDB(ctx context.Context, f *Folder, port int, args ...string) (*MariaDB, error) {
	return newMariaDB(ctx, f, nil, port, args)
}

// NewMariaDBFrom is NewMariaDB with a copy of the data of another MariaDB, which must
// not have been started yet. That takes a fraction of the time.
func NewMariaDBFrom(ctx context.Context, f *Folder, empty *MariaDB, port int, args ...string) (*MariaDB, error) {
	return newMariaDB(ctx, f, empty, port, args)
}

// newMariaDB copies the data of empty, if it isn't nil.
func newMariaDB(ctx context.Context, f *Folder, empty *MariaDB, port int, args []string) (*MariaDB, error) {
	var paths [3]string
	for i, program := range MariaDBPrograms {
		var err error
		if paths[i], err = Find(program); err != nil {
			return nil, err
		}
	}
	m := &MariaDB{path: paths[0], client: paths[2]}
	var common []string
	var err error
	m.Service, err = New(f, Program{Name: "MariaDB", Path: m.path, Ports: []int{port},
		Args: func(ports []int) []string {
			// No socket: its path could be too long.
			return slices.Concat(common, []string{"--socket=", "--pid-file=" + filepath.Join(m.Folder, "pid"),
				"--bind-address=127.0.0.1", "--port=" + strconv.Itoa(ports[0]), "--skip-log-bin"}, args)
		},
		// MariaDB sends a greeting as soon as it accepts connections.
		Ready: func(s *Service) error {
			return probe(s.Port(0), func(c net.Conn) error {
				_, err := c.Read(make([]byte, 1))
				return err
			})
		}})
	if err != nil {
		return nil, err
	}
	m.program.Dir = m.Folder
	// A starting server removes other servers' files from a shared tmpdir.
	temporary := filepath.Join(m.Folder, "tmp")
	if err := os.Mkdir(temporary, 0o700); err != nil {
		return nil, m.wrapError(err)
	}
	common = []string{"--no-defaults", "--datadir=" + m.data(), "--tmpdir=" + temporary, "--skip-name-resolve"}
	if os.Getuid() == 0 {
		common = append(common, "--user=root") // it refuses to run as root otherwise
	}
	if empty != nil {
		if err := os.CopyFS(m.data(), os.DirFS(empty.data())); err != nil {
			return nil, m.wrapError(fmt.Errorf("copy the data of an empty MariaDB: %w", err))
		}
		return m, nil
	}
	install := slices.Concat(common, []string{"--auth-root-authentication-method=normal", "--skip-test-db"})
	if err := f.run(ctx, filepath.Join(m.Folder, "install.log"), paths[1], install...); err != nil {
		return nil, m.wrapError(fmt.Errorf("mariadb-install-db: %w", err))
	}
	return m, nil
}

func (m *MariaDB) data() string { return filepath.Join(m.Folder, "data") }

// URL returns the URL of a database, as chatd takes it:
// mysql://root@127.0.0.1:PORT/NAME.
func (m *MariaDB) URL(database string) string {
	return fmt.Sprintf("mysql://root@%s/%s", Address(m.Port(0)), database)
}

// SQL runs statements with the MariaDB client and returns its output: one line
// per row, columns separated by tabs, no header.
func (m *MariaDB) SQL(ctx context.Context, statements string) (string, error) {
	out, err := exec.CommandContext(ctx, m.client, "--no-defaults", "--protocol=tcp", "--host=127.0.0.1", "--port="+strconv.Itoa(m.Port(0)),
		"--user=root", "--batch", "--skip-column-names", "--execute="+statements).CombinedOutput()
	if err != nil {
		return "", m.wrapError(fmt.Errorf("%s: %w\n%s", statements, err, out))
	}
	return string(out), nil
}

// Version returns name and version, such as "MariaDB 10.11.6".
func (m *MariaDB) Version(ctx context.Context) string {
	return version(ctx, m.Name(), `Ver ([0-9.]+)`, m.path, "--version")
}

// version runs a program and returns name and its version, which is the first
// group of pattern in the output.
func version(ctx context.Context, name, pattern, path, flag string) string {
	out, err := exec.CommandContext(ctx, path, flag).CombinedOutput() // nginx prints it to stderr
	if found := regexp.MustCompile(pattern).FindSubmatch(out); err == nil && found != nil {
		return name + " " + string(found[1])
	}
	return name + " of an unknown version"
}
