package services

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// streamModule is where Debian has what `stream` needs; elsewhere it tends to
// be compiled in.
const streamModule = "/usr/lib/nginx/modules/ngx_stream_module.so"

// Nginx is an nginx in the foreground. Its Folder is its prefix: relative
// paths of the configuration begin there.
type Nginx struct {
	*Service
	globals string // directives that the configuration doesn't have itself
}

// NewNginx makes an nginx beneath f by the text of a configuration, which it
// checks; it isn't started. The module for `stream` is loaded where the text
// uses it and doesn't load it. The text must not say where the process id is
// kept.
func NewNginx(ctx context.Context, f *Folder, conf string) (*Nginx, error) {
	path, err := Find("nginx")
	if err != nil {
		return nil, err
	}
	n := &Nginx{}
	n.Service, err = New(f, Program{Name: "nginx", Path: path,
		Args:  func([]int) []string { return n.args() },
		Ready: func(*Service) error { return n.listens() }})
	if err != nil {
		return nil, err
	}
	n.program.Dir = n.Folder
	has := func(directive string) bool {
		for line := range strings.Lines(conf) {
			if f := strings.Fields(line); len(f) > 0 && f[0] == directive {
				return true
			}
		}
		return false
	}
	if _, err := os.Stat(streamModule); err == nil && has("stream") && !has("load_module") && !strings.Contains(conf, "modules-enabled") {
		n.globals += "load_module " + streamModule + "; "
	}
	if !has("daemon") {
		n.globals += "daemon off; "
	}
	n.globals += "pid " + n.pidFile() + "; "
	if err := n.configure(ctx, conf); err != nil {
		return nil, n.wrapError(err)
	}
	return n, nil
}

func (n *Nginx) pidFile() string { return filepath.Join(n.Folder, "nginx.pid") }

func (n *Nginx) args(more ...string) []string {
	return append([]string{"-p", n.Folder, "-c", filepath.Join(n.Folder, "nginx.conf"), "-e", "stderr", "-g", n.globals}, more...)
}

// listens is nil once nginx has written its id, which it does when it listens
// everywhere. The check leaves an empty file, a kill that of a dead process.
func (n *Nginx) listens() error {
	b, err := os.ReadFile(n.pidFile())
	if err == nil && strings.TrimSpace(string(b)) != strconv.Itoa(n.PID()) {
		err = errors.New("it has not written its process id")
	}
	return err
}

// configure writes the configuration, and has nginx check it.
func (n *Nginx) configure(ctx context.Context, conf string) error {
	if err := os.WriteFile(filepath.Join(n.Folder, "nginx.conf"), []byte(conf), 0o600); err != nil {
		return err
	}
	log := filepath.Join(n.Folder, "check.log")
	err := n.parent.run(ctx, log, n.program.Path, n.args("-t")...)
	if err != nil {
		err = fmt.Errorf("it doesn't accept the configuration: %w", err)
	}
	return errors.Join(err, os.Remove(log))
}

// Reload has nginx go over to another configuration without dropping a
// connection, and returns when a worker works by it.
func (n *Nginx) Reload(ctx context.Context, conf string) error {
	if n.process == nil {
		return n.wrapError(errors.New("it doesn't run"))
	}
	if err := n.configure(ctx, conf); err != nil {
		return n.wrapError(err)
	}
	before := n.workers()
	if err := syscall.Kill(n.process.pid, syscall.SIGHUP); err != nil {
		return n.wrapError(err)
	}
	err := n.process.waitReady(ctx, func() error {
		for pid := range n.workers() {
			if !before[pid] {
				return nil
			}
		}
		return errors.New("it has no new worker yet")
	})
	if err != nil {
		return n.wrapError(fmt.Errorf("reload: %w%s", err, n.process.logSuffix()))
	}
	return nil
}

// workers returns the master's children by their place in /proc; where there
// is none, none is found, and Reload says so.
func (n *Nginx) workers() map[string]bool {
	all := make(map[string]bool)
	for _, s := range processes() {
		if s.parent == n.process.pid {
			all[s.path] = true
		}
	}
	return all
}

// Version is what is run, as "nginx 1.22.1".
func (n *Nginx) Version(ctx context.Context) string {
	return version(ctx, n.Name(), `nginx/([0-9.]+)`, n.program.Path, "-v")
}
