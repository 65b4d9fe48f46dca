package main

import (
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/vt"

	"chatd/client"
)

// TestRegister checks that the login form shows errors and registers a user,
// and that Ctrl-C restores the terminal.
func TestRegister(t *testing.T) {
	n := newNode(t)
	x := n.terminal(80, 24)
	x.see("Log in", "Register a new account")
	x.picture("login")
	x.line("nobody")
	x.line("secret-1")
	x.see("✗ Incorrect username, ID or password")
	x.keys(tab, tab, enter)
	x.see("Confirm password", "nobody")
	x.line("secret-1")
	x.line("secret-2")
	x.see("✗ Passwords don't match")
	x.line("secret-1")
	x.see("Welcome, nobody!")
	x.picture("welcome")
	if strings.Contains(x.screen(), "secret") {
		t.Errorf("the screen shows a password:\n%s", x.screen())
	}
	x.keys(ctrlC)
	if code := x.exit(); code != exitOK {
		t.Errorf("exit code %d, want %d", code, exitOK)
	}
	x.restored()
}

// TestConversation checks that a message is marked as stored and then as read,
// that typing is shown, and that unread messages are counted.
func TestConversation(t *testing.T) {
	n := newNode(t)
	n.befriend(n.user("alice"), n.user("bob"))
	a, b := n.as("alice", 80, 24), n.as("bob", 80, 24)
	a.line("/chat bob")
	a.see("No messages yet")
	a.keys("hello")
	a.line(", 你好 🎉")
	a.see("hello, 你好 🎉", "✓")
	a.miss("✓✓")
	b.see("● alice          1", "Chats            1")
	b.picture("unread")
	b.keys(down, enter)
	b.see("hello, 你好 🎉")
	b.miss("alice          1")
	a.see("✓✓")
	for !strings.Contains(a.screen(), "bob is typing…") { // a typing event is shown only for seconds
		b.keys("x")
		a.wait(100 * time.Millisecond)
	}
	b.keys(ctrlU + "what is" + ctrlJ + "that?" + enter)
	a.see("  what is", "  that?")
	a.miss("is typing")
	a.line("again")
	b.see("  again")
	a.until("two messages marked as read", func(s string) bool { return strings.Count(s, "✓✓") == 2 })
	a.picture("talk")
}

// TestDeletedPeer checks that the screen says so when the other user's account was
// deleted: in the chat that is open, and after a restart.
func TestDeletedPeer(t *testing.T) {
	n := newNode(t)
	n.befriend(n.user("alice"), n.user("bob"))
	a, b := n.as("alice", 80, 24), n.as("bob", 80, 24)
	b.line("/chat alice")
	b.line("hello")
	b.see("hello", "✓")
	a.line("/chat bob")
	a.see("hello", "online")
	n.operate("user", "delete", "bob")
	a.see("not a friend")
	a.line("are you there?")
	a.see("This account was", "account deleted") // the first is cut
	again := n.as("alice", 80, 24)
	again.keys(down, enter)
	again.see("hello", "account deleted")
}

// TestGroup checks that a group can be created, joined, used, left and deleted,
// and that its members are listed.
func TestGroup(t *testing.T) {
	n := newNode(t)
	bob := n.user("bob")
	n.user("alice")
	x := n.as("alice", 80, 24)
	x.line("/creategroup tea what we drink")
	x.see("Others can join with /addgroup", "# tea", "what we drink", "1 member")
	var id int64
	if _, err := fmt.Sscanf(strings.SplitN(x.screen(), "/addgroup ", 2)[1], "%d", &id); err != nil {
		t.Fatalf("no group ID after /addgroup: %v", err)
	}
	if _, err := bob.JoinGroup(n.ctx(), id); err != nil {
		t.Fatal(err)
	}
	x.see("bob joined", "2 members")
	x.line("green or black?")
	x.see("green or black?", "✓")
	n.say(bob, client.Group(id), "black")
	x.see("  black")
	x.picture("group")
	x.line("/members")
	x.see("Members of tea", "creator")
	x.picture("members")
	x.keys(esc)
	x.miss("Members of tea")
	if err := bob.LeaveGroup(n.ctx(), id); err != nil {
		t.Fatal(err)
	}
	x.see("bob left", "1 member")
	if _, err := bob.JoinGroup(n.ctx(), id); err != nil {
		t.Fatal(err)
	}
	x.see("2 members")
	y := n.as("bob", 80, 24)
	y.line("/chat tea")
	y.see("No messages yet")
	x.line("/kickmember bob")
	x.see("Removed bob from tea", "1 member")
	y.see("You are no longer a member of this group", "no longer a member")
	y.line("still here?")
	y.see("✗ You are no longer a member of this group")
	x.line("/leavegroup")
	x.see("Leave tea? (y/n)")
	x.keys("y")
	x.see("✗ You can't leave a group you created. Use /deletegroup")
	x.line("/deletegroup")
	x.see("Delete tea and its messages for everyone? (y/n)")
	x.keys("y")
	x.see("Deleted tea", "No chats yet")
}

// TestCommands checks that commands are completed, run, and report errors.
func TestCommands(t *testing.T) {
	n := newNode(t)
	n.user("alice")
	n.user("bob")
	n.user("Carol Smith")
	x := n.as("alice", 80, 24)
	x.keys("/")
	x.see("/chat <name> [message]", "open a chat")
	x.keys("del")
	x.see("/delfriend [user]")
	x.miss("/chat <name>")
	x.picture("menu")
	x.keys(ctrlU)
	x.miss("/delfriend")
	x.line("/addfriend bob")
	x.see("bob is now your friend", "● bob")
	x.line("/addfriend bob")
	x.see("✗ You're already friends with bob")
	x.line("/addfriend Carol Smith")
	x.see("Carol Smith is now your friend")
	x.keys("/cha", tab, "ca", tab)
	x.see(`› /chat "Carol Smith"`)
	x.keys(enter)
	x.see("● Carol Smith   ", "No messages yet")
	x.line("/friends")
	x.see("Friends", "online · ID")
	x.keys(esc)
	x.see("No messages yet")
	x.line("/find bob")
	x.see("bob has ID")
	x.line("/find nobody")
	x.see(`✗ No user named "nobody"`)
	x.keys(up)
	x.see("› /find nobody")
	x.keys(up, up)
	x.see("› /friends")
	x.keys(ctrlU)
	x.line("/dance")
	x.see("✗ Unknown command /dance")
	x.keys(ctrlU) // the wrong command is still in the input
	x.line("/block bob")
	x.see("bob is now blocked")
	x.line("/unblock bob")
	x.see("bob is no longer blocked")
	x.line("/delfriend bob")
	x.see("bob is no longer your friend")
	x.miss("● bob")
	x.line("/passwd")
	x.see("Change password")
	x.line("wrong1")
	x.line("secret-2")
	x.line("secret-2")
	x.see("✗ Incorrect current password")
	x.keys(tab, tab, ctrlU) // from the last field to the first
	x.line("secret-1")
	x.keys(tab, enter)
	x.see("Password changed")
	x.keys(f1)
	x.see("Help", "Keys")
	x.keys(esc)
	x.miss("Help")
	x.line("/logout")
	x.see("Log in", "Password")
	x.line("secret-2")
	x.see("online")
	x.line("/quit")
	if code := x.exit(); code != exitOK {
		t.Errorf("exit code %d, want %d", code, exitOK)
	}
	x.restored()
}

// TestHistoryAndSearch checks that scrolling up loads older messages, that
// search finds text in them, and that Esc returns to the newest message.
func TestHistoryAndSearch(t *testing.T) {
	n := newNode(t)
	alice, bob := n.user("alice"), n.user("bob")
	n.befriend(alice, bob)
	var texts []string
	for i := range 130 {
		texts = append(texts, fmt.Sprintf("message %d", i+1))
	}
	texts[4] = "here is the Needle"
	texts[120] = "another needle here"
	n.say(bob, me(alice), texts...)
	x := n.as("alice", 80, 24)
	x.see("bob          130")
	x.keys(down, enter)
	x.see("message 130")
	for !strings.Contains(x.screen(), "No earlier messages") {
		x.keys(pgUp)
		x.wait(100 * time.Millisecond)
	}
	x.see("message 1\n")
	x.keys(esc)
	x.see("message 130")
	x.keys(ctrlF, "needle")
	x.see("another needle here", "2 of 2")
	x.picture("search")
	x.keys(enter)
	x.see("here is the Needle", "1 of 2")
	x.keys(ctrlN)
	x.see("another needle here", "2 of 2")
	x.keys(enter)
	x.see("1 of 2")
	x.keys(enter)
	x.see("No older matches")
	x.keys(esc)
	x.miss("Search ›")
}

// TestSearchLoadsOlder checks that search loads older messages from the server.
func TestSearchLoadsOlder(t *testing.T) {
	n := newNode(t)
	alice, bob := n.user("alice"), n.user("bob")
	n.befriend(alice, bob)
	texts := []string{"a needle"}
	for i := range 180 {
		texts = append(texts, fmt.Sprintf("hay %d", i))
	}
	n.say(bob, me(alice), texts...)
	x := n.as("alice", 80, 24)
	x.line("/chat bob")
	x.see("hay 179")
	x.line("/search needle")
	x.see("a needle", "1 of 1", "No earlier messages")
}

// TestResize checks that a narrow window shows either the list or the
// conversation, and that chat survives all window sizes.
func TestResize(t *testing.T) {
	n := newNode(t)
	alice, bob := n.user("alice"), n.user("bob")
	n.befriend(alice, bob)
	n.say(bob, me(alice), "a message that is rather long, and has to be broken into several rows where there is little room for it")
	x := n.as("alice", 40, 16)
	x.see("bob")
	x.picture("narrow-list")
	x.keys(down, enter)
	x.see("a message that is")
	x.picture("narrow-talk")
	x.keys(esc)
	x.see("Chats")
	x.keys(enter)
	x.see("a message that is")
	for _, size := range [][2]int{{20, 8}, {9, 4}, {3, 2}, {1, 1}, {120, 3}, {200, 60}} {
		x.resize(size[0], size[1])
		if size[0] >= 9 {
			x.see("›")
		}
	}
	x.see("● online", "● bob")
	x.resize(100, 20)
	x.see("● online")
	x.picture("wide")
}

// TestColors checks that colors suit the terminal's background, and that there
// are none with NO_COLOR.
func TestColors(t *testing.T) {
	n := newNode(t)
	n.user("alice")
	for _, test := range []struct {
		name  string
		paper color.Color
		env   []string
		want  string // color of the sign for "online"; "" for no colors at all
	}{
		{"dark", color.Black, nil, "#86c49a"},
		{"light", color.White, nil, "#2f7d4f"},
		{"none", color.White, []string{"NO_COLOR=1"}, ""},
	} {
		em := vt.NewEmulator(80, 24)
		em.SetDefaultBackgroundColor(test.paper)
		x := newTerminal(t, em, test.env, n.host, n.port, "--name", "alice", "--password", "secret-1")
		x.see("● online  alice")
		x.until("the colors of "+test.name, func(string) bool {
			all := x.colors()
			return test.want == "" && len(all) == 0 || all[test.want]
		})
		x.keys(ctrlC)
		x.exit()
	}
}

// TestHostileText checks that a message can't control the terminal, hide or
// reverse text, or imitate another message.
func TestHostileText(t *testing.T) {
	n := newNode(t)
	alice, bob := n.user("alice"), n.user("bob")
	n.befriend(alice, bob)
	n.say(bob, me(alice), "\x1b[2J\x1b]0;owned\x07\x1b[?1049l", "a\u202edlrow\u2066", "x\nalice  00:00\n  I owe you", "\u009b31m\x00\x7f\r\b")
	x := n.as("alice", 80, 24)
	x.keys(down, enter)
	x.see(`\x1b[2J\x1b]0;owned\x07\x1b[?1049l`, `a\u202edlrow\u2066`, `\u009b31m\x00\x7f\x0d\x08`)
	x.picture("hostile")
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.em.IsAltScreen() {
		t.Error("the terminal isn't on the alternate screen; want the escape sequence in the message shown, not obeyed")
	}
}

// TestIsolatesReachTerminal checks that the isolates around names from right to left are
// written to the terminal, which does the reordering.
func TestIsolatesReachTerminal(t *testing.T) {
	n := newNode(t)
	alice, david := n.user("alice"), n.user("דוד")
	n.befriend(alice, david)
	n.say(david, me(alice), "שלום 5")
	x := n.as("alice", 80, 24)
	x.keys(down, enter)
	x.see("שלום 5")
	x.mu.Lock()
	defer x.mu.Unlock()
	written := ansi.Strip(x.raw.String()) // the emulator drops what has no width
	for _, isolated := range []string{"\u2068דוד\u2069", "\u2068שלום 5\u2069"} {
		if !strings.Contains(written, isolated) {
			t.Errorf("chat has written %q, want %q in it", written, isolated)
		}
	}
}

// TestServerGone checks that while the server is down, messages are queued and
// quitting asks first, and that they are sent when the server is back.
func TestServerGone(t *testing.T) {
	n := newNode(t)
	alice, bob := n.user("alice"), n.user("bob")
	n.befriend(alice, bob)
	x := n.as("alice", 80, 24)
	x.line("/chat bob")
	x.see("No messages yet")
	x.line("before")
	x.see("before", "✓")
	n.kill()
	x.see("○ no connection")
	x.line("while it is away")
	x.see("while it is away", "waiting", "○ no connection, 1 waiting")
	x.keys(ctrlC)
	x.see("1 unsent message will be lost. Quit anyway?")
	x.keys("n")
	x.miss("Quit anyway")
	n.start()
	x.see("● online", "while it is away")
	x.until("both messages marked as stored", func(s string) bool { return strings.Count(s, "✓") == 2 })
	x.miss("waiting")
	x.keys(ctrlC)
	if code := x.exit(); code != exitOK {
		t.Errorf("exit code %d, want %d", code, exitOK)
	}
	x.restored()
}

// TestUnsent checks that quitting with unsent messages prints an error and
// exits with code 1.
func TestUnsent(t *testing.T) {
	n := newNode(t)
	alice, bob := n.user("alice"), n.user("bob")
	n.befriend(alice, bob)
	x := n.as("alice", 80, 24)
	x.line("/chat bob")
	x.see("No messages yet")
	n.kill()
	x.see("○ no connection")
	x.line("too late")
	x.see("1 waiting")
	x.keys(ctrlC)
	x.see("Quit anyway?")
	x.keys("y")
	if code := x.exit(); code != exitFailed {
		t.Errorf("exit code %d, want %d", code, exitFailed)
	}
	x.restored()
	if s := x.screen(); !strings.Contains(s, "error: some messages may not have been sent") {
		t.Errorf("after the screen was closed: want an error about unsent messages, got:\n%s", s)
	}
}

// TestSignals checks that chat exits cleanly after a signal.
func TestSignals(t *testing.T) {
	n := newNode(t)
	n.user("alice")
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT} {
		x := n.as("alice", 80, 24)
		if err := x.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if code := x.exit(); code != exitOK {
			t.Errorf("%v: exit code %d, want %d", sig, code, exitOK)
		}
		x.restored()
	}
}

// TestPanic checks that the terminal is restored before a panic is printed.
func TestPanic(t *testing.T) {
	n := newNode(t)
	n.befriend(n.user("alice"), n.user("bob"))
	x := newTerminal(t, vt.NewEmulator(80, 24), []string{beChat + "=" + beFaulty}, n.host+":"+n.port)
	x.see("online", "bob")
	x.line("/chat bob")
	x.see("No messages yet")
	x.line("this panics")
	if code := x.exit(); code != exitFailed {
		t.Errorf("exit code %d, want %d", code, exitFailed)
	}
	x.restored()
	if s := x.screen(); !strings.Contains(s, "chat crashed") {
		t.Errorf("after the screen was closed: want \"chat crashed\", got:\n%s", s)
	}
}

// TestTokenFileOnScreen checks that a token file logs in without a password,
// and that chat refuses one that others can read.
func TestTokenFileOnScreen(t *testing.T) {
	n := newNode(t)
	n.user("alice")
	file := filepath.Join(t.TempDir(), "token")
	x := n.as("alice", 80, 24, "--token-file", file)
	x.keys(ctrlC)
	x.exit()
	if info, err := os.Stat(file); err != nil {
		t.Fatal(err)
	} else if info.Mode().Perm() != 0o600 {
		t.Fatalf("the token file has mode %04o, want 0600", info.Mode().Perm())
	}
	x = n.terminal(80, 24, "--token-file", file)
	x.see("online  alice")
	x.keys(ctrlC)
	x.exit()
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	for _, plain := range []string{"--plain", "--plain=false"} {
		x = n.terminal(80, 24, "--token-file", file, plain)
		if code := x.exit(); code != exitFailed {
			t.Errorf("%s: exit code %d, want %d", plain, code, exitFailed)
		}
		if s := x.screen(); !strings.Contains(s, "mode 0640") {
			t.Errorf("%s: want an error with \"mode 0640\", got:\n%s", plain, s)
		}
	}
}

// TestMouse checks that a click opens a conversation and the wheel scrolls.
func TestMouse(t *testing.T) {
	n := newNode(t)
	alice, bob, carol := n.user("alice"), n.user("bob"), n.user("carol")
	n.befriend(alice, bob)
	n.befriend(alice, carol)
	var texts []string
	for i := range 40 {
		texts = append(texts, fmt.Sprintf("line %d.", i+1))
	}
	n.say(carol, me(alice), texts...)
	n.say(bob, me(alice), "hi from bob")
	x := n.as("alice", 80, 24)
	x.see("● bob            1 │", "● carol         40 │")
	x.keys(click(4, 3)) // the second row
	x.see("line 40.")
	x.keys(wheelUp(40, 8))
	x.miss("line 40.")
	x.see("line 37.")
	x.keys(click(4, 2))
	x.see("hi from bob")
}

// TestUnreadUntilSeen checks that messages stay unread until they are seen,
// even if an earlier run of chat received them.
func TestUnreadUntilSeen(t *testing.T) {
	n := newNode(t)
	alice, bob := n.user("alice"), n.user("bob")
	n.befriend(alice, bob)
	n.say(bob, me(alice), "have you seen this?")
	x := n.as("alice", 80, 24)
	x.see("Chats            1")
	x.keys(ctrlC)
	x.exit()
	if list, _, err := alice.Conversations(n.ctx(), 0, 10); err != nil || len(list) != 1 || list[0].Read != 0 {
		t.Fatalf("Conversations() = %+v, %v; want one with read cursor 0", list, err)
	}
	x = n.as("alice", 80, 24)
	x.see("Chats            1")
	x.keys(down, enter)
	x.see("have you seen this?")
	x.miss("Chats            1")
	x.keys(ctrlC)
	x.exit()
	for ctx := n.ctx(); ; {
		list, _, err := alice.Conversations(ctx, 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		if list[0].Read == 1 {
			break
		}
	}
}

// TestPlain checks that --plain uses line mode on a terminal.
func TestPlain(t *testing.T) {
	n := newNode(t)
	x := n.terminal(80, 24, "--plain")
	x.see("1. login  2. register  3. quit", "choice:")
	x.line("3")
	if code := x.exit(); code != exitOK {
		t.Errorf("exit code %d, want %d", code, exitOK)
	}
	x.restored()
}
