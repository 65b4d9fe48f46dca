package daemon

import (
	"bufio"
	"bytes"
	"chatd/service/trace"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// A query survives its way through a URL. A wrong query, made by hand, is
// refused with an error that says what is wrong.
func TestTraceValues(t *testing.T) {
	for _, q := range []trace.Query{
		{Group: 3, Seq: 9, After: 12, User: "a & b"},
		{Pair: [2]string{"anna, the first", "+5"}, CID: "c=d&e\x00ü", Sender: "77"},
	} {
		if got, err := parseTrace(traceValues(&q)); err != nil || !reflect.DeepEqual(got, q) {
			t.Errorf("parseTrace(traceValues(%+v)) = %+v, %v; want the same query", q, got, err)
		}
	}
	for _, c := range []struct {
		values map[string][]string
		want   string
	}{
		{map[string][]string{"group": {"1"}, "seq": {"x"}}, `seq: "x" is not a number`},
		{map[string][]string{"group": {"1", "2"}, "seq": {"1"}}, `"group" is given 2 times`},
		{map[string][]string{"pair": {"1"}, "seq": {"1"}}, "pair=A&pair=B"},
		{map[string][]string{"group": {"1"}, "seq": {"1"}, "sql": {"1"}}, `unknown parameter "sql"`},
		{map[string][]string{"group": {"1"}}, "name one message"},
	} {
		if _, err := parseTrace(c.values); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("parseTrace(%v): error %v, want %q", c.values, err, c.want)
		}
	}
}

// answering returns an address that sends answer to the first HTTP request.
func answering(t *testing.T, answer string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		for r := bufio.NewReader(c); ; {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if line == "\r\n" {
				break
			}
		}
		_, _ = io.WriteString(c, answer) // if this fails, the test notices the missing answer
	}()
	return l.Addr().String()
}

// Whatever listens at --admin and whatever it answers: it can't send control
// sequences to the terminal or break or forge a line, in either format or in an
// error.
func TestTraceEscapesAnswer(t *testing.T) {
	const evil = "\x1b]0;owned\x07\x9b2J\u009b2J\u202e\r\nnote: forged\nchatd: forged\x00\x7f"
	u := trace.User{ID: 1, Name: evil}
	full := trace.Result{Conversation: trace.Conversation{Group: true, ID: 7, Name: evil}, Stored: true, Node: evil,
		Message: &trace.Message{Sender: u, CID: evil}, Published: evil, Topic: &trace.Topic{Bus: evil}, Notes: []string{evil},
		Members: []*trace.Member{{User: u, Why: evil, Devices: []*trace.Device{{Device: evil, State: evil, Why: evil}}}}}
	missing := trace.Result{Conversation: trace.Conversation{Pair: []trace.User{u, u}}, Missing: []string{evil}}
	js := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		// JSON may have these as they are.
		return strings.NewReplacer(`\u007f`, "\x7f", `\u009b`, "\u009b", `\u202e`, "\u202e").Replace(string(b))
	}
	answer := func(head, body string) string {
		return fmt.Sprintf("HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", head, len(body), body)
	}
	const isJSON = "200 OK\r\nContent-Type: application/json"
	for _, c := range []struct{ name, answer, want string }{
		{"stored", answer(isJSON, js(full)), "owned"},
		{"missing", answer(isJSON, js(missing)), "owned"},
		{"refused", answer("404 Not Found\r\nChatd-Refusal: 1", evil), "owned"},
		{"no trace", answer(isJSON, evil), "sent an invalid answer"},
		{"no trace, but JSON", answer(isJSON, `{"node": {"`+"\u009b"+`": 1}}`), "sent an invalid answer"},
		{"no message", answer(isJSON, `{"conversation": {"group": true}, "stored": true}`), "it says that the message is stored, but doesn't contain it"},
		{"no member", answer(isJSON, `{"conversation": {"group": true}, "members": [null]}`), "a member or a device is null"},
		{"no device", answer(isJSON, `{"conversation": {"group": true}, "members": [{"devices": [null]}]}`), "a member or a device is null"},
		{"no chatd", answer("503 "+strings.ReplaceAll(strings.ReplaceAll(evil, "\r", ""), "\n", ""), ""), "is no admin address"},
		{"no HTTP", evil + "\r\n\r\n", "reading the database instead"},
	} {
		for _, form := range [][]string{nil, {"--json"}} {
			t.Run(strings.Join(append([]string{c.name}, form...), " "), func(t *testing.T) {
				var out bytes.Buffer
				args := append([]string{"trace", "--group", "7", "--seq", "1", "--db", "sqlite:" + t.TempDir() + "/none.db",
					"--admin", answering(t, c.answer)}, form...)
				Main("", args, os.Stdin, &out, &out)
				if !strings.Contains(out.String(), c.want) {
					t.Errorf("output %q lacks %q", &out, c.want)
				}
				for line := range strings.Lines(out.String()) {
					line = strings.TrimSuffix(line, "\n")
					if !utf8.ValidString(line) || strings.ContainsFunc(line, func(r rune) bool { return !strconv.IsPrint(r) }) ||
						strings.HasPrefix(line, "note: forged") || strings.HasPrefix(line, "chatd: forged") {
						t.Errorf("output has a forged or unprintable line: %q", line)
					}
				}
			})
		}
	}
}
