package services

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// Redis is a Redis server without persistence and without a password.
type Redis struct {
	*Service
	path, cli string
}

// RedisPrograms are the programs that NewRedis needs.
var RedisPrograms = []string{"redis-server", "redis-cli"}

// NewRedis creates a Redis in f, and doesn't start it. args are additional
// arguments for redis-server. If port is 0, it chooses one.
func NewRedis(f *Folder, port int, args ...string) (*Redis, error) {
	var paths [2]string
	for i, program := range RedisPrograms {
		var err error
		if paths[i], err = Find(program); err != nil {
			return nil, err
		}
	}
	r := &Redis{path: paths[0], cli: paths[1]}
	var err error
	r.Service, err = New(f, Program{Name: "Redis", Path: r.path, Ports: []int{port},
		Args: func(ports []int) []string {
			return slices.Concat([]string{"--port", strconv.Itoa(ports[0]), "--bind", "127.0.0.1",
				"--dir", r.Folder, "--save", "", "--appendonly", "no", "--daemonize", "no"}, args)
		},
		Ready: func(s *Service) error { return probe(s.Port(0), pingRedis) }})
	if err != nil {
		return nil, err
	}
	r.program.Dir = r.Folder
	return r, nil
}

// pingRedis sends a PING. It accepts an error that asks for a password as an
// answer.
func pingRedis(c net.Conn) error {
	if _, err := c.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil || line == "+PONG\r\n" || strings.HasPrefix(line, "-NOAUTH") {
		return err
	}
	return fmt.Errorf("unexpected answer %q", line)
}

// URL returns the URL, as chatd takes it.
func (r *Redis) URL() string { return "redis://" + Address(r.Port(0)) }

// Client runs redis-cli with these arguments and returns its output, without
// surrounding white space.
func (r *Redis) Client(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, r.cli, append([]string{"-h", "127.0.0.1", "-p", strconv.Itoa(r.Port(0))}, args...)...).CombinedOutput()
	if err != nil {
		return "", r.wrapError(fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out))
	}
	return strings.TrimSpace(string(out)), nil
}

// Version returns name and version, such as "Redis 7.0.15".
func (r *Redis) Version(ctx context.Context) string {
	return version(ctx, r.Name(), `v=([0-9.]+)`, r.path, "--version")
}
