package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"chatd/proto"
	"chatd/service/trace"
)

// runTrace runs chatd trace, and returns its exit code and output.
func runTrace(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	cmd := exec.Command(self, append([]string{"trace"}, args...)...)
	cmd.Env, cmd.Stdout, cmd.Stderr = chatdEnv(), &out, &errs
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// mustTrace runs chatd trace, which must succeed, and returns its output.
func mustTrace(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errs := runTrace(t, args...)
	if code != exitDone || errs != "" {
		t.Fatalf("chatd trace %q: exit code %d, stderr %q, want %d and nothing; stdout:\n%s", args, code, errs, exitDone, out)
	}
	return out
}

// TestTraceRunning checks chatd trace while a node runs. With --db it shows only what
// is stored; with --admin, also who is online and what was sent to them. --json has the
// same information, and neither shows the text of messages.
func TestTraceRunning(t *testing.T) {
	dir := t.TempDir()
	d := startDaemon(t, dir, "127.0.0.1", "0", "--http=", "--db", "sqlite:chat.db", "--argon2", "8,1,1", "--no-limits",
		"--node", "here", "--admin", "127.0.0.1:0")
	addr := d.until(t, `chatd listening.* address=(\S+)`)
	admin := d.until(t, `admin address listening.* admin=(\S+)`)
	a, b := dialRaw(t, addr), dialRaw(t, addr)
	a.account("anna")
	b.account("berta")
	group := a.call(&proto.Request{Op: proto.CREATE_GROUP, GroupName: `tea "time"`}).GroupID
	b.call(&proto.Request{Op: proto.ADD_GROUP, GroupID: group})
	if err := a.send(groupChat(group, "hello there", false)); err != nil {
		t.Fatal(err)
	}
	for len(b.got) == 0 {
		if _, err := b.read(); err != nil {
			t.Fatal(err)
		}
	}

	where := []string{"--group", fmt.Sprint(group), "--cid", "cid hello there", "--sender", "anna"}
	live := mustTrace(t, append(where, "--admin", admin)...)
	for _, want := range []string{
		`stored:    seq 1, `, `from "anna" (1), cid "cid hello there", 11 bytes`, `this node has heard of it`, `node "here": `,
		`"default"    online on here; sent, but its receipts only go up to seq 0`, `"tea \"time\""`,
	} {
		if !strings.Contains(live, want) {
			t.Errorf("trace --admin doesn't print %q; it prints\n%s", want, live)
		}
	}
	alone := mustTrace(t, append(where, "--db", "sqlite:"+dir+"/chat.db")...)
	if !strings.Contains(alone, "stored:    seq 1, ") || strings.Contains(alone, "online on") || !strings.Contains(alone, "up to 10 s late") {
		t.Errorf("trace --db prints\n%s\nwant the stored seq, a note about receipts that may be late, and nothing about who is online", alone)
	}
	var machines trace.Result
	if err := json.Unmarshal([]byte(mustTrace(t, append(where, "--admin", admin, "--json")...)), &machines); err != nil {
		t.Fatal(err)
	}
	if machines.Node != "here" || machines.Message.Seq != 1 || len(machines.Members) != 2 || machines.Members[1].Devices[0].Session.Sent != 1 {
		t.Errorf("trace --json = %+v; want node \"here\", seq 1, and two members; the server has sent seq 1 to the second", machines)
	}
	if code, out, errs := runTrace(t, "--group", "77", "--seq", "1", "--admin", admin); code != exitError || out != "" || errs != "chatd: no such group: 77\n" {
		t.Errorf("trace of an unknown group: exit code %d, stdout %q, stderr %q; want %d, nothing, and \"no such group: 77\"", code, out, errs, exitError)
	}
	for _, text := range []string{live, alone} {
		if strings.Contains(text, ", 11 bytes: hello") || strings.Contains(strings.ReplaceAll(text, "cid hello there", ""), "hello") {
			t.Errorf("trace prints the text of the message:\n%s", text)
		}
	}
}
