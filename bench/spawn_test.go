package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"chatd/bench/benchtest"
	"chatd/bench/report"
	"chatd/bench/target"
	"chatd/internal/services"
)

// needServices fails the test if MariaDB or Redis is missing, or skips it if
// that is allowed.
func needServices(t *testing.T) {
	t.Helper()
	for _, program := range append(services.MariaDBPrograms, services.RedisPrograms...) {
		if _, err := services.Find(program); err != nil && os.Getenv("CHATD_SKIP_SERVICES") != "" {
			t.Skipf("%v, and CHATD_SKIP_SERVICES is set", err)
		} else if err != nil {
			t.Fatalf("%v: run make test, which installs it, or set CHATD_SKIP_SERVICES to skip this test", err)
		}
	}
}

// Each value of --spawn works. The report says what was started and what each
// process used, and nothing is left behind.
func TestSpawn(t *testing.T) {
	needServices(t)
	path := benchtest.Chatd(t)
	for _, c := range []struct {
		args     string
		nodes    int
		services []string
		parts    []string
	}{
		{"stream --spawn mysql --pairs 5 --window 16 --count 2003", 0, []string{"MariaDB "}, []string{"node 1", "MariaDB"}},
		{"event --spawn mysql --pairs 5 --window 16 --count 5001 --mariadb-arg=--innodb-buffer-pool-size=64M", 0,
			[]string{"MariaDB "}, []string{"node 1", "MariaDB"}},
		{"stream --spawn cluster --pairs 5 --window 16 --count 2003", 2, []string{"MariaDB ", "Redis "}, []string{"node 1", "node 2", "Redis", "MariaDB"}},
		{"event --spawn cluster --nodes 3 --pairs 5 --window 16 --count 5001", 3, []string{"MariaDB ", "Redis "},
			[]string{"node 1", "node 2", "node 3", "Redis", "MariaDB"}},
		{"connect --spawn cluster --conns 20 --duration 1ms", 2, []string{"MariaDB ", "Redis "}, []string{"node 1", "node 2", "Redis", "MariaDB"}},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel() // mostly waiting
			folder := t.TempDir()
			code, stdout, stderr := chatbench(t, append(strings.Fields(c.args), "--chatd", path, "--dir", folder, "--json", "-")...)
			var rep report.Report
			if err := json.Unmarshal([]byte(stdout), &rep); err != nil || code != exitOK || len(rep.Notes) > 0 {
				t.Fatalf("exit code %d, JSON error %v, want %d and no notes; output:\n%s%s", code, err, exitOK, stdout, stderr)
			}
			if rep.Server.Nodes != c.nodes || len(rep.Server.Services) != len(c.services) {
				t.Errorf("server = %+v, want %d nodes and services %q", rep.Server, c.nodes, c.services)
			}
			for i, name := range c.services {
				if text := rep.Server.String(); !strings.HasPrefix(rep.Server.Services[i], name) || !strings.Contains(text, rep.Server.Services[i]) || strings.Contains(text, "unknown") {
					t.Errorf("server description %q lacks the version of %s", text, name)
				}
			}
			figures := make(map[string]float64)
			for _, f := range rep.Figures {
				figures[f.Name] = f.Value
			}
			kinds := []string{" CPU", " memory", " memory, peak"}
			if rep.Scenario != "connect" {
				kinds = append(kinds, " CPU per million messages")
			}
			for _, kind := range kinds {
				sum := 0.0
				for _, name := range c.parts {
					v, ok := figures[name+kind]
					if sum += v; !ok {
						t.Errorf("figure %q is missing", name+kind)
					}
				}
				if server := figures["server"+kind]; sum < server*0.999 || sum > server*1.001 {
					t.Errorf("server%s = %v, want the sum over its processes, %v", kind, server, sum)
				}
			}
			// A run may be shorter than the kernel's unit of CPU time.
			if share, ok := figures["generator share"]; rep.Scenario != "connect" && (!ok || share <= 0 || share > 100) {
				t.Errorf("generator share = %v, present: %v; want a value above 0 and at most 100", share, ok)
			}
			benchtest.CheckGone(t, folder, rep.Server.Address)
		})
	}
}

// If chatbench is killed at any moment, it leaves no process and no folder
// behind.
func TestKilledLeavesNothing(t *testing.T) {
	needServices(t)
	path := benchtest.Chatd(t)
	for _, c := range []struct{ kind, file string }{ // wait for the file, then kill
		{target.SpawnSQLite, "."}, {target.SpawnSQLite, "node-1/log"},
		{target.SpawnMySQL, "MariaDB/install.log"}, {target.SpawnMySQL, "MariaDB/log"}, {target.SpawnMySQL, "MariaDB/data/chatd/messages.ibd"},
		{target.SpawnCluster, "Redis"}, {target.SpawnCluster, "Redis/log"}, {target.SpawnCluster, "node-2/log"},
	} {
		t.Run(c.kind+" "+c.file, func(t *testing.T) {
			folder := t.TempDir()
			cmd := exec.Command(os.Args[0], "event", "--spawn", c.kind, "--pairs", "2", "--duration", "10m", "--chatd", path, "--dir", folder)
			var out bytes.Buffer
			cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), beChatbench+"=1"), &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			within(t, c.file+" exists", func() error {
				found, err := filepath.Glob(filepath.Join(folder, "*", c.file))
				if err == nil && len(found) == 0 {
					err = os.ErrNotExist
				}
				return err
			})
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
			if err := cmd.Wait(); err == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Errorf("chatbench ended with %v, want SIGKILL; output:\n%s", err, &out)
			}
			within(t, "nothing is left behind", func() error {
				if left := benchtest.Remains(t, folder); len(left) > 0 {
					return fmt.Errorf("left behind: %q", left)
				}
				return nil
			})
		})
	}
}

// within waits until f succeeds, for a minute at most.
func within(t *testing.T, what string, f func() error) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s: %v", what, err)
		}
	}
}

// The error about a missing program names it and its package, and nothing
// starts.
func TestMissingProgram(t *testing.T) {
	path, folder := benchtest.Chatd(t), t.TempDir()
	t.Setenv("PATH", "")
	for _, kind := range []string{target.SpawnMySQL, target.SpawnCluster} {
		code, _, stderr := chatbench(t, "stream", "--spawn", kind, "--chatd", path, "--dir", folder)
		if code != exitFailure || !strings.Contains(stderr, "isn't installed") || !strings.Contains(stderr, "apt-get install mariadb-") {
			t.Errorf("--spawn %s: exit code %d, error %q; want %d and the missing package", kind, code, stderr, exitFailure)
		}
		benchtest.CheckGone(t, folder, "127.0.0.1:1")
	}
}

// If MariaDB can't start, the error says why.
func TestServiceStartFails(t *testing.T) {
	needServices(t)
	folder := t.TempDir()
	code, _, stderr := chatbench(t, "stream", "--spawn", target.SpawnMySQL, "--mariadb-arg=--nonsense", "--chatd", benchtest.Chatd(t), "--dir", folder)
	if code != exitFailure || !strings.Contains(stderr, "MariaDB") || !strings.Contains(stderr, "nonsense") {
		t.Errorf("exit code %d, error %q; want %d and MariaDB's own error", code, stderr, exitFailure)
	}
	benchtest.CheckGone(t, folder, "127.0.0.1:1")
}
