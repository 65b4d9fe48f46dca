package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chatd/client"
	"chatd/proto"
)

// session runs chat in line mode with piped input.
func session(t *testing.T, s *fakeServer, input string, flags ...string) (code int, stdout, stderr string) {
	t.Helper()
	host, port, _ := net.SplitHostPort(s.ln.Addr().String())
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	var out, err strings.Builder
	code = run(ctx, append([]string{host, port}, flags...), strings.NewReader(input), &out, &err, false)
	return code, out.String(), err.String()
}

// TestInputFromWindows checks that a byte order mark at the start of the input, and
// Windows line ends, aren't part of the commands.
func TestInputFromWindows(t *testing.T) {
	s := newFakeServer(t)
	if code, stdout, stderr := session(t, s, "\ufeffhelp\r\nquit\r\n", alice...); code != exitOK || stderr != "" {
		t.Errorf("input from Windows: exit code %d, want %d; stdout:\n%s\nstderr:\n%s", code, exitOK, stdout, stderr)
	}
}

var alice = []string{"--name", "alice", "--password", "secret:1"}

// contains checks that text has all parts, in this order. what names the text
// in the failure message.
func contains(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	rest := text
	for _, part := range parts {
		_, after, ok := strings.Cut(rest, part)
		if !ok {
			t.Fatalf("%s: want %q, in the order %q; got:\n%s", what, part, parts, text)
		}
		rest = after
	}
}

// TestScript checks that a script gets the welcome, unread messages, and the
// result of each command, in order.
func TestScript(t *testing.T) {
	s := newFakeServer(t)
	s.offline = []proto.Chat{{Op: proto.ONE_CHAT, ID: 2, Name: "bob", ToID: 1, Msg: "you \x1b[2Jthere?", Time: 1e12, Seq: 1, CID: "c"}}
	s.seq = 1
	code, out, errs := session(t, s, "chat:bob:a:b\r\nchat:2:echo again\n\ngroupchat:golang:all\naddfriend:carol\n"+
		"friends\nhistory:bob\nmembers:5\nconversations\ncreategroup:new:desc\nread:bob\ntyping:g5\npasswd:secret:1\nlogout\n",
		append(alice, "--register")...)
	// The command passwd:secret:1 has the wrong old password "secret".
	if want := "error: wrong password\n"; code != exitFailed || errs != want {
		t.Errorf("exit code %d, stderr %q; want %d, %q", code, errs, exitFailed, want)
	}
	contains(t, "stdout", out, "registered: 1 alice", "logged in: 1 alice", "2 bob online", "5 golang about go", "1 alice online creator",
		"unread: ", `[2]bob said: you \x1b[2Jthere?`, "sent: bob #2", "sent: bob #3", "sent: golang #5", "friend added: 3 carol offline",
		"3 carol offline", "#1 ", "[2]bob said: long ago", "  1 alice online creator", "bob: 7 messages, 3 unread", "group created: 6 new",
		"marked as read: bob", "logged out")
	contains(t, "stdout", out, "[2]bob said: again")
	asked := strings.Join(s.asked, "\n")
	contains(t, "requests", asked, "REG", "LOGIN", "ONE_CHAT a:b", "ONE_CHAT echo again", "GROUP_CHAT all", "EVENT", "LOGOUT")
}

// TestScriptDeletedUser checks that conversations and messages say that a user's account
// was deleted.
func TestScriptDeletedUser(t *testing.T) {
	s := newFakeServer(t)
	s.gone = true
	code, out, errs := session(t, s, "history:bob\nconversations\n", alice...)
	if code != exitOK || errs != "" {
		t.Errorf("exit code %d, stderr %q; want %d and nothing", code, errs, exitOK)
	}
	contains(t, "stdout", out, "[2]bob (deleted) said: long ago", "user 2 bob (deleted): 7 messages")
}

// TestReadOnce checks that line mode prints only what a user has newly read. A
// client may send the same receipt hundreds of times per second.
func TestReadOnce(t *testing.T) {
	var out, errs strings.Builder
	con, err := newConsole(strings.NewReader(""), &out, &errs, false)
	if err != nil {
		t.Fatal(err)
	}
	defer con.close()
	a := newApp(con, options{})
	if a.c, err = client.New(client.Config{Addrs: []string{"127.0.0.1:1"}}); err != nil {
		t.Fatal(err)
	}
	defer a.c.Close()
	for _, seq := range []int64{4, 4, 3, 5, 4, 5} {
		a.onRead(client.Read{Conv: client.User(2), User: 2, Seq: seq})
	}
	a.onRead(client.Read{Conv: client.User(3), User: 3, Seq: 1})
	if got, want := out.String(), "[2]2 has read up to #4\n[2]2 has read up to #5\n[3]3 has read up to #1\n"; got != want {
		t.Errorf("receipts of user 2 up to 4, 4, 3, 5, 4 and 5, and of user 3 up to 1: printed\n%swant\n%s", got, want)
	}
}

// TestTyping checks that line mode prints who is typing for friends and for the
// conversation of the last command, and at most once per second and user. Nobody else
// can print lines on the user's screen with events, nor can anybody with other kinds of
// events.
func TestTyping(t *testing.T) {
	s := newFakeServer(t)
	var out, errs strings.Builder
	con, err := newConsole(strings.NewReader(""), &out, &errs, false)
	if err != nil {
		t.Fatal(err)
	}
	defer con.close()
	a := newApp(con, options{})
	now := time.Unix(1e9, 0)
	a.now = func() time.Time { return now }
	if a.c, err = client.New(client.Config{Addrs: []string{s.ln.Addr().String()}}); err != nil {
		t.Fatal(err)
	}
	defer a.c.Close()
	if err := a.c.Login(t.Context(), "alice", "secret:1"); err != nil {
		t.Fatal(err)
	}
	typing := func(conv client.Conv, from int64) client.Event {
		return client.Event{Conv: conv, From: from, Name: "someone", Kind: "typing"}
	}
	for _, c := range []struct {
		what  string
		event client.Event
		later time.Duration // since the event before it
		open  string        // the argument of the command history before it
		want  string
	}{
		{"a friend", typing(client.User(2), 2), 0, "", "[2]someone is typing"},
		{"the friend again, too early", typing(client.User(2), 2), time.Second - 1, "", ""},
		{"the friend a second after the first time", typing(client.User(2), 2), 1, "", "[2]someone is typing"},
		{"a friend's other event", client.Event{Conv: client.User(2), From: 2, Name: "bob", Kind: "error", Data: "call me"}, time.Second, "", ""},
		{"a stranger", typing(client.User(7), 7), time.Second, "", ""},
		{"a stranger in a group that isn't open", typing(client.Group(5), 7), 0, "", ""},
		{"a member of the open group", typing(client.Group(5), 7), 0, "golang", "[7]someone is typing in golang"},
		{"another member in the same second", typing(client.Group(5), 8), 0, "", "[8]someone is typing in golang"},
		{"the user of the open conversation, who isn't a friend", typing(client.User(7), 7), time.Second, "7", "[7]someone is typing"},
		{"a member of the group that was open before", typing(client.Group(5), 8), time.Second, "", ""},
	} {
		if c.open != "" {
			if err := a.history(t.Context(), []string{c.open}); err != nil {
				t.Fatal(err)
			}
		}
		now = now.Add(c.later)
		out.Reset()
		a.onEvent(c.event)
		if got := strings.TrimSuffix(out.String(), "\n"); got != c.want {
			t.Errorf("event of %s: printed %q, want %q", c.what, got, c.want)
		}
	}
	if err := a.chat(t.Context(), []string{"9", "hello"}); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	a.onEvent(typing(client.User(9), 9))
	if got, want := out.String(), "[9]someone is typing\n"; got != want {
		t.Errorf("event of a user after a message to them: printed %q, want %q", got, want)
	}
}

// TestScriptFailures checks that each failed command prints one line on stderr
// and doesn't stop the script, and that the exit code is then 1.
func TestScriptFailures(t *testing.T) {
	code, out, errs := session(t, newFakeServer(t), "chat:bob\nchat:nobody:x\ndance\ngroupchat:nowhere:x\naddgroup:5\nhistory:bob:0\n"+
		"leavegroup:golang\nlogin:x:y\nchat:bob:last\n", alice...)
	if code != exitFailed {
		t.Errorf("exit code %d, want %d", code, exitFailed)
	}
	want := []string{"usage: chat:user:message", `no user named "nobody"`, `unknown command "dance"`,
		`not in a group named "nowhere"`, "already a member", `n must be a number from 1 to 200, not "0"`, "the creator can't leave", "already logged in"}
	lines := strings.Split(strings.TrimRight(errs, "\n"), "\n")
	if len(lines) != len(want) {
		t.Fatalf("stderr has %d lines, want %d:\n%s", len(lines), len(want), errs)
	}
	for i, line := range lines {
		if !strings.HasPrefix(line, "error: ") || !strings.Contains(line, want[i]) {
			t.Errorf("line %d of stderr is %q, want \"error: \" and %q", i+1, line, want[i])
		}
	}
	contains(t, "stdout", out, "sent: bob #1")
}

// TestPipedLogin checks that without --name, the first lines can log in or
// register, with the menu or with a command.
func TestPipedLogin(t *testing.T) {
	for input, want := range map[string]int{
		"1\nalice\nsecret:1\nchat:bob:x\n":         exitOK,
		"2\nalice\nsecret:1\nchat:bob:x\n":         exitOK,
		"login:alice:secret:1\nchat:bob:x\n":       exitOK,
		"login:alice\nsecret:1\nchat:bob:x\n":      exitOK,
		"register:alice:secret:1\nfriends\nquit\n": exitOK,
		"help\nquit\nchat:bob:x\n":                 exitOK,
		"chat:bob:x\n":                             exitFailed,
		"1\nalice\nwrong\n":                        exitFailed,
		"register:taken:secret:1\n":                exitFailed,
		"1\nalice\n":                               exitFailed,
	} {
		if code, out, errs := session(t, newFakeServer(t), input); code != want {
			t.Errorf("input %q: exit code %d, want %d\nstdout:\n%s\nstderr:\n%s", input, code, want, out, errs)
		}
	}
}

// TestInvitation checks that --code is sent with --register, and that a server's demand
// for a code is an error in line mode without a terminal, which says how to give one.
func TestInvitation(t *testing.T) {
	invited := []string{"--name", "invited", "--password", "secret:1", "--register"}
	if code, out, errs := session(t, newFakeServer(t), "quit\n", append(invited, "--code", "C0DE")...); code != exitOK {
		t.Errorf("with --code: exit code %d, want %d\nstdout:\n%s\nstderr:\n%s", code, exitOK, out, errs)
	}
	if code, _, errs := session(t, newFakeServer(t), "quit\n", invited...); code != exitFailed || !strings.Contains(errs, "--code") {
		t.Errorf("without --code: exit code %d, stderr %q; want %d and a hint at --code", code, errs, exitFailed)
	}
}

// TestLoginFails checks that a script doesn't run if it can't log in.
func TestLoginFails(t *testing.T) {
	s := newFakeServer(t)
	code, out, errs := session(t, s, "chat:bob:x\n", "--name", "alice", "--password", "wrong1")
	if code != exitFailed || errs != "error: wrong name or password\n" || out != "" {
		t.Errorf("wrong password: exit code %d, stdout %q, stderr %q; want %d, nothing, wrong name or password", code, out, errs, exitFailed)
	}
	s.ln.Close()
	code, _, errs = session(t, s, "", alice...)
	if code != exitFailed || !strings.Contains(errs, "refused") || strings.Count(errs, "\n") != 1 {
		t.Errorf("no server: exit code %d, stderr %q; want %d, one line with \"refused\"", code, errs, exitFailed)
	}
}

// TestTokenFile checks that a token file has mode 0600, logs in without a
// password, and no longer does after logout. loginout is the former name of
// the command logout.
func TestTokenFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	s := newFakeServer(t)
	if code, _, errs := session(t, s, "quit\n", append(alice, "--token-file", file)...); code != exitOK {
		t.Fatalf("login with the password: exit code %d, want %d: %s", code, exitOK, errs)
	}
	if info, err := os.Stat(file); err != nil {
		t.Error(err)
	} else if info.Mode().Perm() != 0o600 {
		t.Errorf("the token file has mode %04o, want 0600", info.Mode().Perm())
	}
	if code, out, errs := session(t, s, "loginout\n", "--token-file", file); code != exitOK || !strings.Contains(out, "logged in: 1 alice") {
		t.Errorf("login with the token: exit code %d, want %d and \"logged in: 1 alice\"\nstdout:\n%s\nstderr:\n%s", code, exitOK, out, errs)
	}
	if code, _, errs := session(t, s, "friends\n", "--token-file", file); code != exitFailed || !strings.Contains(errs, "not logged in") {
		t.Errorf("after loginout: exit code %d, want %d and \"not logged in\": %s", code, exitFailed, errs)
	}
}

// TestOptions checks that an invalid command line prints an example and exits
// with code 2, that --help exits with code 0, and that flags may follow the
// address.
func TestOptions(t *testing.T) {
	for _, args := range [][]string{{}, {"127.0.0.1"}, {"127.0.0.1", "x"}, {"127.0.0.1", "0"}, {"127.0.0.1", "6000", "more"},
		{"127.0.0.1", "6000", "--dance"}, {"127.0.0.1", "6000", "--register"}, {"127.0.0.1", "99999"}, {"", "6000"}, {"[]", "6000"}} {
		var out, errs strings.Builder
		if code := run(context.Background(), args, strings.NewReader(""), &out, &errs, false); code != exitUsage {
			t.Errorf("chat %q: exit code %d, want %d", args, code, exitUsage)
		}
		if !strings.HasPrefix(errs.String(), "invalid command line: ") || !strings.Contains(errs.String(), "\nExample: chat 127.0.0.1 6000\n") {
			t.Errorf("chat %q: stderr doesn't say that the command line is invalid, with an example: %s", args, errs.String())
		}
	}
	var out, errs strings.Builder
	if code := run(context.Background(), []string{"--help"}, nil, &out, &errs, false); code != exitOK || !strings.Contains(out.String(), "--token-file") {
		t.Errorf("chat --help: exit code %d, want %d and a help with --token-file\nstdout:\n%s\nstderr:\n%s", code, exitOK, out.String(), errs.String())
	}
	for address, want := range map[string]string{"[::1]": "::1", "[fe80::1%lo]": "fe80::1%lo", "localhost": "localhost"} {
		if opt, _, done := parseOptions([]string{address, "6000"}, &out, &errs); done || opt.IP != want {
			t.Errorf("chat %s 6000: done %v, address %q; want %q", address, done, opt.IP, want)
		}
	}
	opt, _, done := parseOptions([]string{"::1", "6000", "--name", "x", "--linger", "2s"}, &out, &errs)
	if done || opt.IP != "::1" || opt.Port != 6000 || opt.Name != "x" || opt.Linger != 2*time.Second || opt.Device != "terminal" {
		t.Errorf("parseOptions: done %v, options %+v; want the options of the command line and the default device", done, opt)
	}
}
