package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"chatd/proto"
)

// The audit log of a real node and of operator commands has a line for each event,
// with the client's address behind a proxy, and without secrets. fail2ban, with the
// filter in deploy, finds the address that guesses passwords in both formats of the
// log, and no address that a client has put into a name.
func TestAuditLog(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			dir := t.TempDir()
			log := filepath.Join(dir, "audit.log")
			d := startDaemon(t, dir, "127.0.0.1", "0", "--http", "", "--audit-log", log, "--log-format", format, "--argon2", "8,1,1", "--proxy-protocol", "127.0.0.1/32")
			chat := d.until(t, `chatd listening.*address"?[=:]"?([0-9.:]+)`)
			call := func(addr string, r *proto.Request) *raw {
				w := dialRaw(t, chat)
				if _, err := fmt.Fprintf(w.conn, "PROXY TCP4 %s 127.0.0.1 4711 6000\r\n", addr); err != nil {
					t.Fatal(err)
				}
				if err := w.send(r); err != nil {
					t.Fatal(err)
				}
				if _, err := w.read(); err != nil {
					t.Fatal(err)
				}
				return w
			}
			const password, newer, hostile = "right-secret", "newer-secret", "x addr=198.51.100.66"
			call("203.0.113.1", &proto.Request{Op: proto.REG, Name: hostile, Password: password})
			in := call("203.0.113.1", &proto.Request{Op: proto.LOGIN, Name: hostile, Password: password, Device: "action=login\noutcome=refused"})
			for _, r := range []*proto.Request{
				{Op: proto.PASSWORD, Password: password, NewPassword: newer},
				{Op: proto.CREATE_GROUP, GroupName: "walks"},
				{Op: proto.DISMISS_GROUP, GroupID: 1},
				{Op: proto.LOGOUT},
			} {
				if err := in.send(r); err != nil {
					t.Fatal(err)
				}
				if _, err := in.read(); err != nil {
					t.Fatal(err)
				}
			}
			for range 10 {
				call("203.0.113.9", &proto.Request{Op: proto.LOGIN, Name: hostile, Password: "wrong-secret"})
			}
			call("203.0.113.9", &proto.Request{Op: proto.LOGIN, Name: hostile, Password: newer})
			call("203.0.113.10", &proto.Request{Op: proto.LOGIN, Name: `x" action=login addr=198.51.100.66 reason="`, Password: "wrong-secret"})
			call("203.0.113.10", &proto.Request{Op: proto.LOGIN, Token: "wrong-token"})
			for _, args := range [][]string{{"user", "ban", "1"}, {"user", "unban", "1"}, {"invite"}, {"invite", "revoke", "1"}, {"user", "delete", "1"}} {
				self, err := os.Executable()
				if err != nil {
					t.Fatal(err)
				}
				cmd := exec.Command(self, append(args, "--audit-log", log, "--log-format", format)...)
				cmd.Dir, cmd.Env = dir, chatdEnv()
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("chatd %s: %v\n%s", strings.Join(args, " "), err, out)
				}
			}
			if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if code, log := d.exit(t); code != 0 {
				t.Fatalf("exit code %d, want 0; the log is\n%s", code, log)
			}

			text, err := os.ReadFile(log)
			if err != nil {
				t.Fatal(err)
			}
			plain := string(text)
			for _, secret := range []string{password, newer, "wrong-secret", "wrong-token"} {
				if strings.Contains(plain, secret) {
					t.Errorf("the audit log contains %q, want no secrets:\n%s", secret, plain)
				}
			}
			if format == "json" { // compare as text
				plain = strings.NewReplacer(`","`, " ", `":"`, "=", `":`, "=", `,"`, " ").Replace(plain)
			}
			for want, count := range map[string]int{
				"action=start outcome=ok": 1, "action=register outcome=ok addr=203.0.113.1 user=1": 1, "action=login outcome=ok addr=203.0.113.1 user=1 method=password": 1,
				"action=new_device outcome=ok addr=203.0.113.1": 1, "action=password outcome=ok addr=203.0.113.1": 1, "action=create_group outcome=ok addr=203.0.113.1 user=1 group=1": 1,
				"action=dismiss_group outcome=ok": 1, "action=logout outcome=ok": 1, "action=login outcome=refused reason=wrong_password addr=203.0.113.9 user=1": 10,
				"action=lockout outcome=ok reason=failed_account_and_address addr=203.0.113.9": 1, "action=login outcome=refused reason=failed_account_and_address addr=203.0.113.9": 1,
				"action=login outcome=refused reason=unknown_user addr=203.0.113.10": 1, "action=login outcome=refused reason=wrong_token addr=203.0.113.10 method=token": 1,
				"action=ban outcome=ok user=1": 1, "action=unban outcome=ok user=1": 1, "action=invite outcome=ok": 1, "action=revoke_invite outcome=ok": 1, "action=delete outcome=ok user=1": 1,
			} {
				if n := strings.Count(plain, want); n != count {
					t.Errorf("%d lines with %s, want %d; the log is\n%s", n, want, count, text)
				}
			}
			findsGuesser(t, log)
		})
	}
}

// After the file of the audit log is renamed, SIGHUP makes the node continue in a new
// file. No line is lost or in both files.
func TestAuditLogReopened(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "audit.log")
	d := startDaemon(t, dir, "127.0.0.1", "0", "--http", "", "--audit-log", log, "--argon2", "8,1,1")
	chat := d.until(t, `chatd listening.*address="?=?([0-9.:]+)`)
	register := func(name string) {
		t.Helper()
		w := dialRaw(t, chat)
		if err := w.send(&proto.Request{Op: proto.REG, Name: name, Password: "right-secret"}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.read(); err != nil {
			t.Fatal(err)
		}
	}
	register("before")
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	register("renamed")
	if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	d.until(t, `settings reloaded`)
	register("after")
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code, log := d.exit(t); code != 0 {
		t.Fatalf("exit code %d, want 0; the log is\n%s", code, log)
	}
	old, err := os.ReadFile(log + ".1")
	if err != nil {
		t.Fatal(err)
	}
	next, err := os.ReadFile(log)
	if err != nil {
		t.Fatalf("no new file after SIGHUP: %v", err)
	}
	if n := strings.Count(string(old), "name=before"); n != 1 {
		t.Errorf("the renamed file has %d lines about the user before, want 1:\n%s", n, old)
	}
	if n := strings.Count(string(next), "name=after"); n != 1 || strings.Contains(string(old), "name=after") {
		t.Errorf("the new file has %d lines about the user after, want 1, and none in the renamed file:\n%s\nThe renamed file:\n%s", n, next, old)
	}
	// This line may have waited for the writer until the file was opened again.
	if n := strings.Count(string(old)+string(next), "name=renamed"); n != 1 {
		t.Errorf("both files have %d lines about the user in between, want 1:\n%s\n%s", n, old, next)
	}
}

// findsGuesser checks with fail2ban-regex which addresses the filter finds in a log.
func findsGuesser(t *testing.T, log string) {
	t.Helper()
	path, err := exec.LookPath("fail2ban-regex")
	if err != nil {
		t.Skip("fail2ban-regex isn't installed; in Debian: apt-get install fail2ban")
	}
	filter, err := filepath.Abs("deploy/fail2ban/filter.d/chatd.conf")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(path, "-o", "ip", log, filter).CombinedOutput()
	if err != nil {
		t.Fatalf("fail2ban-regex: %v\n%s", err, out)
	}
	found := make(map[string]int)
	for _, addr := range strings.Fields(string(out)) {
		found[addr]++
	}
	if len(found) != 2 || found["203.0.113.9"] != 11 || found["203.0.113.10"] != 1 {
		t.Errorf("fail2ban-regex finds %v, want 203.0.113.9 11 times and 203.0.113.10 once", found)
	}
}

// SIGHUP opens the audit log again. If it is a pipe that nobody reads any more, chatd
// says so, and still obeys signals.
func TestAuditPipeWithoutReader(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "audit")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	args := append(quick, "127.0.0.1", "0", "--audit-log", "audit")
	d := startDaemon(t, dir, args...)
	if code, log := d.exit(t); code != exitError || !strings.Contains(log, "--audit-log: ") || !strings.Contains(log, "nobody reads it") {
		t.Errorf("start with a pipe that nobody reads: exit code %d, want %d and an error about it; log:\n%s", code, exitError, log)
	}
	reader, err := os.OpenFile(pipe, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	d = startDaemon(t, dir, args...)
	d.until(t, `chatd listening`)
	reader.Close()
	if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	d.until(t, `level=ERROR.*file not opened again.*nobody reads it`)
	d.until(t, `settings reloaded`)
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	d.until(t, `chatd draining`)
	d.exit(t)
}
