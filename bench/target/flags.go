package target

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// maxNodes bounds --nodes: every node is a process on this machine.
const maxNodes = 16

// Flags are the flags that say which server to measure.
type Flags struct {
	Spawn   string   `name:"spawn" placeholder:"KIND" help:"What to start, and stop afterwards. sqlite: one node with SQLite; mysql: one node with MariaDB; cluster: several nodes with MariaDB and Redis (default: sqlite; crash: cluster)."`
	Nodes   int      `name:"nodes" placeholder:"N" help:"With --spawn cluster: number of nodes (default: 2; crash: 3). User i connects to node i mod N, so pairs talk across nodes."`
	Chatd   string   `name:"chatd" placeholder:"PATH" help:"chatd program to start (default: the one next to chatbench)."`
	Args    []string `name:"chatd-arg" sep:"none" placeholder:"ARG" help:"Extra argument for each started node, e.g. --chatd-arg=--sqlite-sync=normal. May be repeated."`
	Limits  bool     `name:"limits" help:"Start nodes with their default limits instead of --no-limits, except that on registrations."`
	MariaDB []string `name:"mariadb-arg" sep:"none" placeholder:"ARG" help:"Extra argument for a started MariaDB, e.g. --mariadb-arg=--innodb-buffer-pool-size=4G. May be repeated. By default the buffer pool has 1 GiB, and each commit is flushed to disk."`
	Dir     string   `name:"dir" placeholder:"FOLDER" help:"Folder in which to create a temporary folder for the started server's data (default: the system's temporary folder). Choose one on the disk you want to measure."`

	Addr  string     `name:"addr" placeholder:"HOST:PORT" help:"Use the running server at this loopback address instead of starting one. Start it with --no-limits --argon2 8,1,1."`
	Other string     `name:"other-addr" placeholder:"HOST:PORT" help:"With --addr: another node of the same cluster. Receivers connect to it, so that every message goes from node to node."`
	HTTP  string     `name:"http" placeholder:"HOST:PORT" help:"With --addr: the server's --http address, to trigger a garbage collection before its memory is read."`
	PIDs  []NamedPID `name:"pid" sep:"none" placeholder:"[NAME=]PID" help:"With --addr: the server's process, for CPU time and memory. Repeat it for each process, e.g. --pid 'node 1=321' --pid MariaDB=123."`

	Floor *RelayOptions `kong:"-"` // not nil: start the bare relay of bench/floor instead of a chatd
}

func (t *Flags) nodeCount() int {
	switch {
	case t.Spawn != SpawnCluster:
		return 1
	case t.Nodes == 0:
		return 2
	}
	return t.Nodes
}

// Check checks the flags, and sets the default of Spawn. It accepts loopback
// addresses only: nobody should put load on a server that isn't theirs.
func (t *Flags) Check() error {
	var bad []error
	t.Spawn = cmp.Or(t.Spawn, SpawnSQLite)
	if !slices.Contains([]string{SpawnSQLite, SpawnMySQL, SpawnCluster}, t.Spawn) {
		bad = append(bad, fmt.Errorf("--spawn: %q is not sqlite, mysql or cluster", t.Spawn))
	}
	if t.Floor != nil && (t.Addr != "" || t.Chatd != "" || len(t.Args) > 0 || t.Dir != "" || t.Limits) {
		bad = append(bad, errors.New("--addr, --chatd, --chatd-arg, --dir, --limits: not with floor, which runs a relay instead of chatd"))
	}
	if t.Addr == "" {
		if t.HTTP != "" {
			bad = append(bad, errors.New("--http: only with --addr; a started server chooses its own"))
		}
		if len(t.PIDs) > 0 {
			bad = append(bad, errors.New("--pid: only with --addr"))
		}
		if t.Other != "" {
			bad = append(bad, errors.New("--other-addr: only with --addr"))
		}
		if t.Nodes != 0 && (t.Spawn != SpawnCluster || t.Nodes < 1 || t.Nodes > maxNodes) {
			bad = append(bad, fmt.Errorf("--nodes: must be 1 to %d, and only with --spawn cluster", maxNodes))
		}
		if len(t.MariaDB) > 0 && t.Spawn == SpawnSQLite {
			bad = append(bad, errors.New("--mariadb-arg: only with --spawn mysql or cluster"))
		}
		return errors.Join(append(bad, t.FindChatd())...)
	}
	if t.Chatd != "" || len(t.Args) > 0 || t.Dir != "" || t.Nodes != 0 || t.Limits || len(t.MariaDB) > 0 {
		bad = append(bad, errors.New("--chatd, --chatd-arg, --dir, --nodes, --limits, --mariadb-arg: not with --addr, which uses a running server"))
	}
	var err error
	if t.Addr, err = loopbackAddr(t.Addr); err != nil {
		bad = append(bad, fmt.Errorf("--addr: %w", err))
	}
	if t.Other != "" {
		if t.Other, err = loopbackAddr(t.Other); err != nil {
			bad = append(bad, fmt.Errorf("--other-addr: %w", err))
		}
	}
	if t.HTTP != "" {
		if t.HTTP, err = loopbackAddr(t.HTTP); err != nil {
			bad = append(bad, fmt.Errorf("--http: %w", err))
		} else {
			t.HTTP = (&url.URL{Scheme: "http", Host: t.HTTP}).String()
		}
	}
	return errors.Join(append(bad, checkDistinct(t.PIDs))...)
}

// FindChatd sets Chatd to the chatd next to this program, unless it is set.
func (t *Flags) FindChatd() error {
	if t.Chatd != "" {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("--chatd: find the path of this program: %w", err)
	}
	t.Chatd = filepath.Join(filepath.Dir(self), "chatd")
	return nil
}

// loopbackAddr returns addr with its host as an IP address, or an error if it
// isn't an address of this machine.
func loopbackAddr(addr string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("%q is not host:port", addr)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("%q: the port must be 1 to 65535", addr)
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || !ip.Unmap().IsLoopback() {
		return "", fmt.Errorf("%q is not a loopback address: chatbench puts load only on this machine", host)
	}
	return net.JoinHostPort(host, port), nil
}
