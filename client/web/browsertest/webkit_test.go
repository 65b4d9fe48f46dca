package browsertest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"chatd/client"
	"chatd/internal/services"
)

// The most common actions work in WebKit, the engine of Safari, in Debian's
// version. It uses the W3C's WebDriver protocol, because playwright-core can't
// drive that version. make webkit runs it, with CHATD_BROWSER=webkit.
func TestWebKit(t *testing.T) {
	if os.Getenv("CHATD_BROWSER") != "webkit" {
		t.Skip("CHATD_BROWSER isn't webkit; run make webkit")
	}
	ctx, cancel := context.WithTimeout(context.Background(), longestPlay)
	defer cancel()
	node, _ := startNode(t, 0)
	w := startWebKit(t)
	messages, reads := make(chan client.Message, 100), make(chan client.Read, 100)
	bob, err := user(ctx, node.Addr(), "bob", client.Handlers{
		Message: func(m client.Message) { messages <- m },
		Read:    func(r client.Read) { reads <- r },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := bob.Close(); err != nil {
			t.Error(err)
		}
	})

	w.open(node.HTTP() + "/")
	w.click("Register")
	w.write("input[autocomplete=username]", "anna")
	w.write("input[type=password]", password)
	w.click("Register")
	w.online()
	anna, err := bob.FindUser(ctx, "anna")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bob.AddFriend(ctx, anna.ID); err != nil {
		t.Fatal(err)
	}

	// More messages than fit into the window: the page opens at the first unread
	// one, and marks them as read when the end was shown.
	const many = 60
	var last client.Receipt
	for i := range many {
		if last, err = bob.Send(ctx, client.User(anna.ID), fmt.Sprintf("line %d <b onclick=alert(1)>bold</b> https://example.com/", i)); err != nil {
			t.Fatal(err)
		}
	}
	w.until("the badge shows 60 unread messages", `document.querySelector("nav a.row .badge")?.textContent === "60"`)
	w.press("nav a.row")
	w.until("all 60 messages are shown, as text with links", `document.querySelectorAll("[data-testid=history] li.message .text a").length === 60 && !document.querySelector("[data-testid=history] b")`)
	w.until("the view is at the first unread message", `document.querySelector("[data-testid=history]").scrollTop < -500`)
	w.press("button.to-end")
	for r := (client.Read{}); r.User != anna.ID || r.Seq != last.Seq; {
		r = next(ctx, t, "anna's read receipt", reads)
	}

	send := func(text string) {
		w.write("form.composer textarea", text)
		w.press("button.send")
		if m := next(ctx, t, text, messages); m.Text != text {
			t.Fatalf("bob received %q, want %q", m.Text, text)
		}
	}
	send("hello from WebKit, 你好")
	w.until("the view is at the end", `document.querySelector("[data-testid=history]").scrollTop === 0`)

	// A reload keeps the conversation and the draft.
	w.write("form.composer textarea", "half a sent")
	w.until("the draft is stored", `JSON.stringify(localStorage).includes("half a sent")`)
	w.call("POST", "/refresh", struct{}{})
	w.ready()
	w.online()
	w.until("the draft is back", `document.querySelector("form.composer textarea").value === "half a sent"`)
	w.until("the message is shown after the reload", `document.querySelector("[data-testid=history]").textContent.includes("hello from WebKit, 你好")`)

	// While the server is down, messages wait, and are then sent once.
	if err := node.Kill(); err != nil {
		t.Fatal(err)
	}
	w.until("the page shows that it is offline", `document.querySelector("[data-testid=connection][data-tone=bad]")`)
	w.press("button.send")
	w.until("the message is queued", `document.querySelector("li.message.mine[data-mark=queued]")`)
	if err := node.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if m := next(ctx, t, "the queued message", messages); m.Text != "half a sent" {
		t.Errorf("bob received %q, want %q", m.Text, "half a sent")
	}
	w.online()

	// A new group is ready for the first message.
	w.click("New chat")
	w.click("New group")
	w.write("dialog input", "tea")
	w.click("Create")
	w.until("the input field of the new group has the focus", `!document.querySelector("dialog") && document.activeElement.matches("form.composer textarea")`)

	// A second tab is inactive until the first one is closed.
	var first string
	w.into(&first, w.call("GET", "/window", nil))
	var tab struct{ Handle string }
	w.into(&tab, w.call("POST", "/window/new", map[string]string{"type": "tab"}))
	look := func(handle string) { w.call("POST", "/window", map[string]string{"handle": handle}) }
	look(tab.Handle)
	w.open(node.HTTP() + "/")
	w.until("the second tab rests", `document.querySelector("[data-testid=resting]")`)
	look(first)
	w.online()
	w.call("DELETE", "/window", nil)
	look(tab.Handle)
	w.online()
	w.until("the remaining tab doesn't rest", `!document.querySelector("[data-testid=resting]")`)

	// In a narrow window nothing overflows.
	w.call("POST", "/window/rect", map[string]int{"width": 400, "height": 700})
	w.until("nothing is wider than the window", `innerWidth <= 500 && document.documentElement.scrollWidth <= innerWidth`)
	if wrong := w.do(`return window.wrong.join("\n")`); wrong != "" {
		t.Errorf("the page had errors, want none:\n%v", wrong)
	}
	select {
	case m := <-messages:
		t.Errorf("bob received %q too, want no more messages", m.Text)
	default:
	}
}

// next returns the next value of a channel. It fails the test if ctx ends first.
func next[T any](ctx context.Context, t *testing.T, what string, ch <-chan T) (it T) {
	t.Helper()
	select {
	case it = <-ch:
	case <-ctx.Done():
		t.Fatalf("timeout while waiting for %s", what)
	}
	return it
}

// webkit is a window of WebKitGTK's MiniBrowser on a virtual screen. Its methods
// fail the test after an error.
type webkit struct {
	t    *testing.T
	base string // URL of the session
}

func startWebKit(t *testing.T) *webkit {
	t.Helper()
	for _, program := range []string{"Xvfb", "WebKitWebDriver"} {
		if _, err := services.Find(program); err != nil {
			t.Skipf("no WebKit: %v", err)
		}
	}
	// A virtual screen with the first free number.
	numbers, number, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	screen := exec.Command("Xvfb", "-displayfd", "3", "-screen", "0", "1280x900x24", "-nolisten", "tcp")
	screen.ExtraFiles = []*os.File{number}
	start(t, screen)
	_ = number.Close()
	var display int
	if _, err := fmt.Fscan(numbers, &display); err != nil {
		t.Fatalf("Xvfb: %v", err)
	}
	_ = numbers.Close()

	port, err := services.NewPort()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := port.Release(); err != nil {
			t.Error(err)
		}
	})
	driver := exec.Command("WebKitWebDriver", "--host=127.0.0.1", fmt.Sprintf("--port=%d", port.Number))
	driver.Env = append(os.Environ(), fmt.Sprintf("DISPLAY=:%d", display), "HOME="+t.TempDir(), "LANG=C.UTF-8", "LIBGL_ALWAYS_SOFTWARE=1")
	start(t, driver)

	w := &webkit{t: t, base: fmt.Sprintf("http://127.0.0.1:%d", port.Number)}
	w.wait("WebKitWebDriver answers", func() bool {
		resp, err := http.Get(w.base + "/status")
		if err == nil {
			_ = resp.Body.Close()
		}
		return err == nil
	})
	var session struct {
		SessionID    string
		Capabilities struct{ BrowserName, BrowserVersion string }
	}
	w.into(&session, w.call("POST", "/session", json.RawMessage(`{"capabilities":{"alwaysMatch":{"timeouts":{"pageLoad":120000,"script":120000}}}}`)))
	w.base += "/session/" + session.SessionID
	t.Cleanup(func() { w.call("DELETE", "", nil) })
	t.Logf("%s %s", session.Capabilities.BrowserName, session.Capabilities.BrowserVersion)
	return w
}

// start starts a program in a process group that is killed when the test ends.
func start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait() // it was killed
	})
}

// call executes a WebDriver command and returns its value.
func (w *webkit) call(method, path string, body any) json.RawMessage {
	w.t.Helper()
	value, err := w.try(method, path, body)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	return value
}

func (w *webkit) try(method, path string, body any) (json.RawMessage, error) {
	var content io.Reader
	if method == http.MethodPost {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(b)
	}
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, w.base+path, content)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct{ Value json.RawMessage }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s", answer.Value)
	}
	return answer.Value, nil
}

func (w *webkit) into(to any, value json.RawMessage) {
	w.t.Helper()
	if err := json.Unmarshal(value, to); err != nil {
		w.t.Fatalf("decode the WebDriver value %s: %v", value, err)
	}
}

// do executes a script in the page and returns its result.
func (w *webkit) do(script string) (value any) {
	w.t.Helper()
	w.into(&value, w.call("POST", "/execute/sync", map[string]any{"script": script, "args": []any{}}))
	return value
}

func (w *webkit) wait(what string, is func() bool) {
	w.t.Helper()
	for end := time.Now().Add(longest); !is(); time.Sleep(25 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("timeout after %v; want: %s", longest, what)
		}
	}
}

// until waits until a JavaScript expression is true in the page.
func (w *webkit) until(what, expression string) {
	w.t.Helper()
	for end := time.Now().Add(longest); w.do(`return Boolean(`+expression+`)`) != true; time.Sleep(25 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("timeout after %v; want: %s; the page shows:\n%v", longest, what, w.do(`return document.body.innerText`))
		}
	}
}

// open opens a page and waits until it is loaded.
func (w *webkit) open(url string) {
	w.t.Helper()
	w.call("POST", "/url", map[string]string{"url": url})
	w.ready()
}

func (w *webkit) ready() {
	w.t.Helper()
	w.until("the page is loaded", `performance.getEntriesByName("ready").length`)
	w.do(`window.wrong ??= []; addEventListener("error", (e) => wrong.push(e.message)); addEventListener("unhandledrejection", (e) => wrong.push(String(e.reason)))`)
}

func (w *webkit) online() {
	w.t.Helper()
	w.until("the page is connected", `document.querySelector("[data-testid=connection][data-tone=good]")`)
}

// on executes a command on an element, once it exists.
func (w *webkit) on(using, which, command string, body any) {
	w.t.Helper()
	w.wait(which+" accepts "+command, func() bool {
		value, err := w.try("POST", "/element", map[string]string{"using": using, "value": which})
		if err != nil {
			return false // not there yet
		}
		var element map[string]string
		w.into(&element, value)
		for _, id := range element {
			_, err = w.try("POST", "/element/"+id+"/"+command, body)
		}
		return err == nil
	})
}

// click clicks the button or menu entry with this name.
func (w *webkit) click(name string) {
	w.t.Helper()
	w.on("xpath", fmt.Sprintf(`//button[normalize-space()=%[1]q or @aria-label=%[1]q]`, name), "click", struct{}{})
}

// press clicks the element of a CSS selector.
func (w *webkit) press(css string) {
	w.t.Helper()
	w.on("css selector", css, "click", struct{}{})
}

// write types into a field.
func (w *webkit) write(css, text string) {
	w.t.Helper()
	w.on("css selector", css, "value", map[string]string{"text": text})
}
