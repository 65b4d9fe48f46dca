// Package services runs programs that a chat needs around it, for tests and
// for measuring: MariaDB, Redis and nginx, and whatever else is said how to
// run. They listen on the loopback address, have their data in folders of
// their own, and may be treated badly: killed, frozen, and brought back on
// the same ports and data.
//
// Nothing of them outlives this process, however that ends: see Folder.
//
// A service is for one goroutine at a time, if nothing else is said. What
// starts or ends one blocks until it answers, or has ended.
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
	startTimeout = 60 * time.Second // of a service on a machine with much else to do
	stopTimeout  = 60 * time.Second // of one that has much to put away
	pollEvery    = 5 * time.Millisecond
	dialTimeout  = 2 * time.Second
)

// debian names the packages that programs come in.
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
}

// MissingError says that a program isn't installed.
type MissingError struct {
	Program string
	Package string // of Debian, that it comes in; several have blanks between them
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("%s isn't installed; in Debian: apt-get install %s", e.Program, e.Package)
}

// Find returns the path of a program, or a *MissingError.
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

// Address is a port of the loopback address.
func Address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// answers dials a port and hands the connection to talk, which has to be done
// within dialTimeout.
func probe(port int, talk func(net.Conn) error) error {
	c, err := net.DialTimeout("tcp", Address(port), dialTimeout)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // nothing of it is needed any more
	if err := c.SetDeadline(time.Now().Add(dialTimeout)); err != nil {
		return err
	}
	return talk(c)
}
