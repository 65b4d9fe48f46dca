// Package services runs programs for tests and benchmarks:
// MariaDB, Redis, nginx, chatd itself and others. They listen on the loopback
// address and keep their data in their own directories. Callers may kill and
// freeze them, and restart them with the same ports and data.
//
// No service outlives this process, however it ends: see Folder.
//
// Methods are not safe for concurrent use, unless noted otherwise. Those that
// start or end a service block until it is ready or has ended.
package services

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

const (
	startTimeout = 60 * time.Second // generous: the machine may be busy
	stopTimeout  = 60 * time.Second // generous: a service may have much to write
	pollEvery    = 5 * time.Millisecond
	dialTimeout  = 2 * time.Second
)

// debianPackages maps programs to the Debian packages that contain them.
var debianPackages = map[string]string{
	"mariadbd":           "mariadb-server",
	"mariadb-install-db": "mariadb-server",
	"mariadb":            "mariadb-client",
	"redis-server":       "redis-server",
	"redis-cli":          "redis-tools",
	"nginx":              "nginx libnginx-mod-stream",
	"chromium":           "chromium",
	"firefox-esr":        "firefox-esr",
	"node":               "nodejs",
	"npm":                "npm",
	"promtool":           "prometheus",
}

// MissingError reports that a program isn't installed.
type MissingError struct {
	Program string
	Package string // Debian package that contains it; several are separated by spaces
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("%s isn't installed; in Debian: apt-get install %s", e.Program, e.Package)
}

// Find returns the path of a program. If it isn't installed, the error is a
func Find(program string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} { // not in the PATH of ordinary users
		if path, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return path, nil
		}
	}
	return "", &MissingError{Program: program, Package: debianPackages[program]}
}

// Address returns the address of a port on the loopback interface.
func Address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// probe connects to a port and calls talk with the connection, which has
// dialTimeout to finish.
func probe(port int, talk func(net.Conn) error) error {
	c, err := net.DialTimeout("tcp", Address(port), dialTimeout)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // nothing to lose
	if err := c.SetDeadline(time.Now().Add(dialTimeout)); err != nil {
		return err
	}
	return talk(c)
}
