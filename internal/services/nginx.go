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

// streamModule is Debian's file of the module for `stream`. Elsewhere it is
// usually compiled in.
const streamModule = "/usr/lib/nginx/modules/ngx_stream_module.so"

// Nginx is an nginx that runs in the foreground. Relative paths in its
// configuration start at Folder.
type Nginx struct {
	*Service
	globals string // directives that the configuration lacks
}

// NewNginx creates an nginx with this configuration in f, lets nginx check it,
// and doesn't start it. If the configuration uses `stream` and doesn't load its
// module, the module is loaded. The configuration must not set `pid`.
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

// listens returns nil once nginx has written its process id, which it does after
// it listens on all ports. The file may exist before: checking the configuration
// leaves it empty, and a kill leaves an old id.
func (n *Nginx) listens() error {
	b, err := os.ReadFile(n.pidFile())
	if err == nil && strings.TrimSpace(string(b)) != strconv.Itoa(n.PID()) {
		err = errors.New("process id not written yet")
	}
	return err
}

// configure writes the configuration and lets nginx check it.
func (n *Nginx) configure(ctx context.Context, conf string) error {
	if err := os.WriteFile(filepath.Join(n.Folder, "nginx.conf"), []byte(conf), 0o600); err != nil {
		return err
	}
	log := filepath.Join(n.Folder, "check.log")
	err := n.parent.run(ctx, log, n.program.Path, n.args("-t")...)
	if err != nil {
		err = fmt.Errorf("configuration rejected: %w", err)
	}
	return errors.Join(err, os.Remove(log))
}

// Reload switches nginx to another configuration without dropping connections.
// It returns when a worker uses the new one.
func (n *Nginx) Reload(ctx context.Context, conf string) error {
	if n.process == nil {
		return n.wrapError(errors.New("not running"))
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
		return errors.New("nginx hasn't started a worker with the new configuration")
	})
	if err != nil {
		return n.wrapError(fmt.Errorf("reload: %w%s", err, n.process.logSuffix()))
	}
	return nil
}

// workers returns the /proc paths of the master's children. Without /proc there
// are none, and Reload fails.
func (n *Nginx) workers() map[string]bool {
	all := make(map[string]bool)
	for _, s := range processes() {
		if s.parent == n.process.pid {
			all[s.path] = true
		}
	}
	return all
}

// Version returns name and version, such as "nginx 1.22.1".
func (n *Nginx) Version(ctx context.Context) string {
	return version(ctx, n.Name(), `nginx/([0-9.]+)`, n.program.Path, "-v")
}
