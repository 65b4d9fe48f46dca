package realservice

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// streamModule is where Debian has what `stream` needs; elsewhere it tends to
// be compiled in.
const streamModule = "/usr/lib/nginx/modules/ngx_stream_module.so"

// NginxServer is an nginx of a test's own.
type NginxServer struct {
	Folder string // its prefix: relative paths of the configuration begin here

	path    string
	globals string // directives that the configuration doesn't have itself
	p       *process
}

// Nginx starts nginx with the text of a configuration, in the foreground and
// with its files in a folder of its own. The module for `stream` is loaded
// where the text uses it and doesn't load it. The text must not say where the
// process id is kept.
func Nginx(t testing.TB, conf string) *NginxServer {
	t.Helper()
	n := &NginxServer{path: find(t, "nginx"), Folder: newFolder(t)}
	t.Cleanup(func() { n.end(t) })
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
	n.configure(t, conf)
	var err error
	if n.p, err = start(n.Folder, n.path, n.args()...); err != nil {
		t.Fatalf("nginx: %v", err)
	}
	// nginx writes its id once it listens everywhere; the check left the file empty.
	listens := func() error {
		b, err := os.ReadFile(n.pidFile())
		if err == nil && len(b) == 0 {
			err = errors.New("it has not written its process id")
		}
		return err
	}
	if err := n.p.await(listens); err != nil {
		t.Fatalf("nginx: %v; its log ends with:\n%s", err, n.p.lastWords())
	}
	return n
}

func (n *NginxServer) pidFile() string { return filepath.Join(n.Folder, "nginx.pid") }

func (n *NginxServer) args(more ...string) []string {
	return append([]string{"-p", n.Folder, "-c", filepath.Join(n.Folder, "nginx.conf"), "-e", "stderr", "-g", n.globals}, more...)
}

// configure writes the configuration, and has nginx check it.
func (n *NginxServer) configure(t testing.TB, conf string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(n.Folder, "nginx.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	check, err := start(n.Folder, n.path, n.args("-t")...)
	if err != nil {
		t.Fatalf("nginx: %v", err)
	}
	err = errors.Join(check.wait(), check.guard.dismiss())
	if words := check.lastWords(); err != nil || !strings.Contains(words, "test is successful") {
		t.Fatalf("nginx doesn't accept the configuration: %v\n%s", err, words)
	}
	if err := os.Truncate(check.log, 0); err != nil {
		t.Fatal(err)
	}
}

// Reload has nginx go over to another configuration without dropping a
// connection, and returns when a worker works by it.
func (n *NginxServer) Reload(t testing.TB, conf string) {
	t.Helper()
	n.configure(t, conf)
	before := n.workers()
	if err := syscall.Kill(n.p.pid, syscall.SIGHUP); err != nil {
		t.Fatalf("nginx: %v", err)
	}
	err := n.p.await(func() error {
		for pid := range n.workers() {
			if !before[pid] {
				return nil
			}
		}
		return errors.New("it has no new worker yet")
	})
	if err != nil {
		t.Fatalf("nginx: reload: %v; its log ends with:\n%s", err, n.p.lastWords())
	}
}

// workers returns the process ids of the master's children.
func (n *NginxServer) workers() map[string]bool {
	all := make(map[string]bool)
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // no /proc: none found, and Reload says so
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // has ended meanwhile
		}
		// pid (name) state parent …; the name may have any characters.
		f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
		if len(f) > 1 && f[1] == fmt.Sprint(n.p.pid) {
			all[path] = true
		}
	}
	return all
}

// Log returns the end of what nginx has written to its error log.
func (n *NginxServer) Log() string { return n.p.lastWords() }

// Stop ends nginx and its connections at once.
func (n *NginxServer) Stop(t testing.TB) {
	t.Helper()
	if n.p == nil {
		return
	}
	if err := n.p.end(); err != nil {
		t.Errorf("nginx: %v", err)
	}
	n.p = nil
}

func (n *NginxServer) end(t testing.TB) {
	t.Helper()
	n.Stop(t)
	if err := os.RemoveAll(n.Folder); err != nil {
		t.Errorf("nginx: %v", err)
	}
}
