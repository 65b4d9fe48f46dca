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

// MariaDB is a MariaDB whose user root has no password.
type MariaDB struct {
	*Service
	path, client string
}

// MariaDBPrograms are what NewMariaDB needs.
var MariaDBPrograms = []string{"mariadbd", "mariadb-install-db", "mariadb"}

// NewMariaDB makes an empty MariaDB beneath f, which isn't started. More
// arguments for mariadbd may be given, as on its command line; a port of 0 is
// chosen.
func NewMariaDB(ctx context.Context, f *Folder, port int, args ...string) (*MariaDB, error) {
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
			// A path of a socket could be too long; TCP does for all.
			return slices.Concat(common, []string{"--socket=", "--pid-file=" + filepath.Join(m.Folder, "pid"),
				"--bind-address=127.0.0.1", "--port=" + strconv.Itoa(ports[0]), "--skip-log-bin"}, args)
		},
		// A greeting is the first thing it sends, once it takes connections.
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
	// A server that starts removes what others have in a shared folder of temporary files.
	temporary := filepath.Join(m.Folder, "tmp")
	if err := os.Mkdir(temporary, 0o700); err != nil {
		return nil, m.wrapError(err)
	}
	common = []string{"--no-defaults", "--datadir=" + filepath.Join(m.Folder, "data"), "--tmpdir=" + temporary, "--skip-name-resolve"}
	if os.Getuid() == 0 {
		common = append(common, "--user=root") // it refuses to be root unless told
	}
	install := slices.Concat(common, []string{"--auth-root-authentication-method=normal", "--skip-test-db"})
	if err := f.run(ctx, filepath.Join(m.Folder, "install.log"), paths[1], install...); err != nil {
		return nil, m.wrapError(fmt.Errorf("mariadb-install-db: %w", err))
	}
	return m, nil
}

// URL is one of its databases as chatd takes it: mysql://root@127.0.0.1:PORT/NAME.
func (m *MariaDB) URL(database string) string {
	return fmt.Sprintf("mysql://root@%s/%s", Address(m.Port(0)), database)
}

// SQL runs statements through the MariaDB client and returns what it prints:
// rows as lines, columns separated by tabs, without a heading.
func (m *MariaDB) SQL(ctx context.Context, statements string) (string, error) {
	out, err := exec.CommandContext(ctx, m.client, "--no-defaults", "--protocol=tcp", "--host=127.0.0.1", "--port="+strconv.Itoa(m.Port(0)),
		"--user=root", "--batch", "--skip-column-names", "--execute="+statements).CombinedOutput()
	if err != nil {
		return "", m.wrapError(fmt.Errorf("%s: %w\n%s", statements, err, out))
	}
	return string(out), nil
}

// Version is what is run, as "MariaDB 10.11.6".
func (m *MariaDB) Version(ctx context.Context) string {
	return version(ctx, m.Name(), `Ver ([0-9.]+)`, m.path, "--version")
}

// version asks a program for its version: where words has its parentheses.
func version(ctx context.Context, name, words, path, flag string) string {
	out, err := exec.CommandContext(ctx, path, flag).CombinedOutput() // nginx says it on stderr
	if found := regexp.MustCompile(words).FindSubmatch(out); err == nil && found != nil {
		return name + " " + string(found[1])
	}
	return name + " of an unknown version"
}
