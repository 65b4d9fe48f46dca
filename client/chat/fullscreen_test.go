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

	"github.com/charmbracelet/x/vt"

	"chatd/client"
)

// The first visit: the form reports errors in place, registers, and opens the
// chat. Ctrl-C ends it and restores the terminal.
func TestRegister(t *testing.T) {
	n := newNode(t)
	x := n.terminal(80, 24)
	x.see("Log in", "Register a new user")
	x.picture("login")
	x.line("nobody")
	x.line("secret1")
	x.see("✗ wrong ID, name, password")
	x.keys(tab, tab, enter)
	x.see("Password again", "nobody")
	x.line("secret1")
	x.line("secret2")
	x.see("✗ the two passwords are not the same")
	x.line("secret1")
	x.see("nobody, welcome")
	x.picture("welcome")
	if strings.Contains(x.screen(), "secret") {
		t.Error("a password was shown")
	}
	x.keys(ctrlC)
	if code := x.exit(); code != exitOK {
		t.Errorf("exit code %d, want %d", code, exitOK)
	}
	x.restored()
}

// Two users chat. A message is marked as stored and then as read, typing is
// shown, and unread messages are counted.
func TestTwoTalk(t *testing.T) {
	n := newNode(t)
	n.befriend(n.user("alice"), n.user("bob"))
	a, b := n.as("alice", 80, 24), n.as("bob", 80, 24)
	a.line("/chat bob")
	a.see("Nothing was said yet")
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
	for !strings.Contains(a.screen(), "bob is typing …") { // a typing event is shown for seconds only
		b.keys("x")
		a.wait(100 * time.Millisecond)
	}
	b.keys(ctrlU + "what is" + ctrlJ + "that?" + enter)
	a.see("  what is", "  that?")
	a.miss("is typing")
	a.line("again")
	b.see("  again")
	a.until("two messages that were read", func(s string) bool { return strings.Count(s, "✓✓") == 2 })
	a.picture("talk")
}

// A group is created, joined, used, left and dismissed, and its members are
// listed.
func TestGroup(t *testing.T) {
	n := newNode(t)
	bob := n.user("bob")
	n.user("alice")
	x := n.as("alice", 80, 24)
	x.line("/creategroup tea what we drink")
	x.see("others join with /addgroup", "# tea", "what we drink", "1 member")
	var id int64
	if _, err := fmt.Sscanf(strings.SplitN(x.screen(), "/addgroup ", 2)[1], "%d", &id); err != nil {
		t.Fatal(err)
	}
	if _, err := bob.JoinGroup(n.ctx(), id); err != nil {
		t.Fatal(err)
	}
	x.see("bob has joined", "2 members")
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
	x.see("bob has left", "1 member")
	if _, err := bob.JoinGroup(n.ctx(), id); err != nil {
		t.Fatal(err)
	}
	x.see("2 members")
	y := n.as("bob", 80, 24)
	y.line("/chat tea")
	y.see("Nothing was said yet")
	x.line("/kickmember bob")
	x.see("bob is no longer in tea", "1 member")
	y.see("you are no longer in this group", "no longer a member")
	y.line("still here?")
	y.see("✗ you are no longer in this group")
	x.line("/leavegroup")
	x.see("Leave tea? y/n")
	x.keys("y")
	x.see("✗ who has made a group can't leave it")
	x.line("/dismissgroup")
	x.see("Dismiss tea, for all of its members? y/n")
	x.keys("y")
	x.see("tea is dismissed", "Nobody here yet")
}

// Commands are completed, run, and report errors.
func TestCommands(t *testing.T) {
	n := newNode(t)
	n.user("alice")
	n.user("bob")
	n.user("Carol Smith")
	x := n.as("alice", 80, 24)
	x.keys("/")
	x.see("/chat who [message]", "open a conversation")
	x.keys("del")
	x.see("/delfriend [user]")
	x.miss("/chat who")
	x.picture("menu")
	x.keys(ctrlU)
	x.miss("/delfriend")
	x.line("/addfriend bob")
	x.see("bob is your friend now", "● bob")
	x.line("/addfriend Carol Smith")
	x.see("Carol Smith is your friend now")
	x.keys("/cha", tab, "ca", tab)
	x.see(`› /chat "Carol Smith"`)
	x.keys(enter)
	x.see("● Carol Smith   ", "Nothing was said yet")
	x.line("/friends")
	x.see("Friends", "online · id")
	x.keys(esc)
	x.see("Nothing was said yet")
	x.line("/find bob")
	x.see("bob has the id")
	x.line("/find nobody")
	x.see(`✗ no user is called "nobody"`)
	x.keys(up)
	x.see("› /find nobody")
	x.keys(up, up)
	x.see("› /friends")
	x.keys(ctrlU)
	x.line("/dance")
	x.see("✗ no command is called /dance")
	x.keys(ctrlU) // the input is kept for correction
	x.line("/block bob")
	x.see("bob is blocked now")
	x.line("/unblock bob")
	x.see("bob is no longer blocked")
	x.line("/delfriend bob")
	x.see("bob is no longer your friend")
	x.miss("● bob")
	x.line("/passwd")
	x.see("Change the password")
	x.line("secret1")
	x.line("secret2")
	x.line("secret2")
	x.see("the password is changed")
	x.keys(f1)
	x.see("Help", "Keys")
	x.keys(esc)
	x.miss("Help")
	x.line("/loginout")
	x.see("Log in", "Password")
	x.line("secret2")
	x.see("connected")
	x.line("/quit")
	if code := x.exit(); code != exitOK {
		t.Errorf("exit code %d, want %d", code, exitOK)
	}
	x.restored()
}

// Scrolling loads old messages, search continues in them, and Esc returns to the
// end.
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
	for !strings.Contains(x.screen(), "the beginning") {
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
	x.see("nothing older")
	x.keys(esc)
	x.miss("search ›")
}

// Search loads older messages from the server.
func TestSearchReadsOn(t *testing.T) {
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
	x.see("a needle", "1 of 1", "the beginning")
}

// Small windows show one pane. No size breaks the screen.
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
	x.see("● connected", "● bob")
	x.resize(100, 20)
	x.see("● connected")
	x.picture("wide")
}

// Colors fit the terminal's background. With NO_COLOR there are none, and
// nothing depends on them.
func TestColours(t *testing.T) {
	n := newNode(t)
	n.user("alice")
	for _, test := range []struct {
		name  string
		paper color.Color
		env   []string
		want  string // color of the connected sign
	}{
		{"dark", color.Black, nil, "#86c49a"},
		{"light", color.White, nil, "#2f7d4f"},
		{"none", color.White, []string{"NO_COLOR=1"}, ""},
	} {
		em := vt.NewEmulator(80, 24)
		em.SetDefaultBackgroundColor(test.paper)
		x := newTerminal(t, em, test.env, n.host, n.port, "--name", "alice", "--password", "secret1")
		x.see("● connected  alice")
		x.until("the colours for "+test.name, func(string) bool {
			all := x.colours()
			return test.want == "" && len(all) == 0 || all[test.want]
		})
		x.keys(ctrlC)
		x.exit()
	}
}

// Messages and names can't control the terminal, hide or reverse text, or
// imitate other messages.
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
		t.Error("a message has left the alternate screen")
	}
}

// While the server is down, messages are shown as queued. They are sent when it
// is back. Quitting before that asks first.
func TestServerGone(t *testing.T) {
	n := newNode(t)
	alice, bob := n.user("alice"), n.user("bob")
	n.befriend(alice, bob)
	x := n.as("alice", 80, 24)
	x.line("/chat bob")
	x.see("Nothing was said yet")
	x.line("before")
	x.see("before", "✓")
	n.kill()
	x.see("○ offline")
	x.line("while it is away")
	x.see("while it is away", "queued", "○ offline, 1 queued")
	x.keys(ctrlC)
	x.see("a message is not sent yet. End all the same?")
	x.keys("n")
	x.miss("End all the same")
	n.start()
	x.see("● connected", "while it is away")
	x.until("both messages as stored", func(s string) bool { return strings.Count(s, "✓") == 2 })
	x.miss("queued")
	x.keys(ctrlC)
	if code := x.exit(); code != exitOK {
		t.Errorf("exit code %d, want %d", code, exitOK)
	}
	x.restored()
}

// Quitting with unsent messages prints an error and exits with code 1.
func TestUnsent(t *testing.T) {
	n := newNode(t)
	alice, bob := n.user("alice"), n.user("bob")
	n.befriend(alice, bob)
	x := n.as("alice", 80, 24)
	x.line("/chat bob")
	x.see("Nothing was said yet")
	n.kill()
	x.see("○ offline")
	x.line("too late")
	x.see("1 queued")
	x.keys(ctrlC)
	x.see("End all the same?")
	x.keys("y")
	if code := x.exit(); code != exitFailed {
		t.Errorf("exit code %d, want %d", code, exitFailed)
	}
	x.restored()
	if s := x.screen(); !strings.Contains(s, "error: messages are left that the server has not acknowledged") {
		t.Errorf("want an error about unacknowledged messages after the screen is closed:\n%s", s)
	}
}

// A signal ends the program cleanly.
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

// A panic restores the terminal before it is printed.
func TestPanic(t *testing.T) {
	n := newNode(t)
	n.befriend(n.user("alice"), n.user("bob"))
	x := newTerminal(t, vt.NewEmulator(80, 24), []string{beChat + "=" + beFaulty}, n.host+":"+n.port)
	x.see("connected", "bob")
	x.line("/chat bob")
	x.see("Nothing was said yet")
	x.line("this panics")
	if code := x.exit(); code != exitFailed {
		t.Errorf("exit code %d, want %d", code, exitFailed)
	}
	x.restored()
	if s := x.screen(); !strings.Contains(s, "this is a fault of the program") {
		t.Errorf("want a message about a fault of the program after the screen is closed:\n%s", s)
	}
}

// A token file logs in without a password. If others can read it, the program
// exits before it draws anything.
func TestTokenFileOnScreen(t *testing.T) {
	n := newNode(t)
	n.user("alice")
	file := filepath.Join(t.TempDir(), "token")
	x := n.as("alice", 80, 24, "--token-file", file)
	x.keys(ctrlC)
	x.exit()
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	x = n.terminal(80, 24, "--token-file", file)
	x.see("connected  alice")
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
			t.Errorf("%s: want an error with mode 0640:\n%s", plain, s)
		}
	}
}

// The mouse selects conversations and scrolls.
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

// Read positions are kept for the next run, for messages delivered to an earlier
// run, too.
func TestReadIsKept(t *testing.T) {
	n := newNode(t)
	alice, bob := n.user("alice"), n.user("bob")
	n.befriend(alice, bob)
	n.say(bob, me(alice), "have you seen this?")
	x := n.as("alice", 80, 24)
	x.see("Chats            1")
	x.keys(ctrlC)
	x.exit()
	if list, _, err := alice.Conversations(n.ctx(), 0, 10); err != nil || len(list) != 1 || list[0].Read != 0 {
		t.Fatalf("nobody has read it: %+v, %v", list, err)
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

// --plain on a terminal uses the line mode.
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
