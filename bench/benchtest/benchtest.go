package benchtest

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"chatd/internal/testbuild"

	"go.uber.org/goleak"
)

// Binaries is the folder for the chatd that tests build. RunTests makes and
// deletes it.
var Binaries string

// RunTests runs a package's tests for TestMain and returns the exit code. It
// fails if goroutines are left.
func RunTests(m *testing.M) int {
	idle := goleak.IgnoreCurrent() // gnet starts its worker pool at import
	var err error
	if Binaries, err = os.MkdirTemp("", "chatbench-test-"); err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(Binaries) }()
	code := m.Run()
	if err := goleak.Find(idle); err != nil && code == 0 {
		_, _ = os.Stderr.WriteString(err.Error() + "\n")
		return 1
	}
	return code
}

var build = sync.OnceValues(func() (string, error) {
	path := filepath.Join(Binaries, "chatd")
	return path, testbuild.Program(path, "chatd")
})

// Chatd returns the path of a chatd, built once per test process.
func Chatd(t *testing.T) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// CheckGone checks that a run has left no process and no files behind.
func CheckGone(t *testing.T, folder, addr string) {
	t.Helper()
	if left := Remains(t, folder); len(left) > 0 {
		t.Errorf("files or processes left behind: %q", left)
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		_ = c.Close()
		t.Errorf("a server still listens on %s after the run", addr)
	}
}

// Remains lists the files in a folder and the processes that use it: those with
// the folder in their command line, or with their log in it.
func Remains(t *testing.T, folder string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil {
		t.Fatal(err)
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range processes {
		line, _ := os.ReadFile(dir + "/cmdline") // the process has ended
		log, _ := os.Readlink(dir + "/fd/2")
		if bytes.Contains(line, []byte(folder)) || strings.HasPrefix(log, folder) {
			all = append(all, dir+": "+string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	return all
}

// Markup parses an HTML page or an SVG as XML. It returns the text and the
// number of each element. Anything that loads or runs something fails the test.
func Markup(t *testing.T, text []byte) (visible string, elements map[string]int) {
	t.Helper()
	elements = make(map[string]int)
	var b strings.Builder
	for d := xml.NewDecoder(strings.NewReader(string(text))); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return b.String(), elements
		}
		if err != nil {
			t.Fatalf("markup is not well-formed: %v\n%s", err, text)
		}
		switch token := token.(type) {
		case xml.StartElement:
			elements[token.Name.Local]++
			for _, a := range token.Attr {
				if name := a.Name.Local; name == "href" || name == "src" || strings.HasPrefix(name, "on") {
					t.Errorf("element %s has %s=%q, but a page must not load or run anything", token.Name.Local, name, a.Value)
				}
			}
		case xml.CharData:
			b.Write(token)
		}
	}
}
