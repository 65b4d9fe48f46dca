package model

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// childEnv, if set, makes the test program run childMain instead of the tests. Its
// value is the URL of the store.
const childEnv = "CHATD_MODEL_TEST_CHILD"

// childMain appends to several conversations of the store that the environment
// names, and prints each message that its sink gets, until the process is killed.
// It returns false if childEnv isn't set.
func childMain() bool {
	url := os.Getenv(childEnv)
	if url == "" {
		return false
	}
	out := json.NewEncoder(os.Stdout)
	room := make(chan int, 1000) // limits how many messages are outstanding
	db, err := Open(context.Background(), Options{DB: url, MaxBatch: 64, Sink: func(_ context.Context, batch []*Append) {
		for _, a := range batch {
			m := sunkMessage{Conv: a.Conv, Seq: a.Seq, CID: string(a.CID)}
			if a.Err != nil {
				m.Err = a.Err.Error()
			}
			if err := out.Encode(m); err != nil {
				os.Exit(4)
			}
			<-room
		}
	}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if db.folder != nil { // so that most kills hit a move of messages to the indexes
		go func() {
			for {
				if _, err := db.folder.Slice(context.Background()); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(6)
				}
			}
		}()
	}
	for i := 0; ; i++ {
		room <- i
		a := toPeer(int64(i%3+1), int64((i+1)%3+1), fmt.Sprintf("%d-%d", os.Getpid(), i))
		if err := db.Append(a); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(5)
		}
	}
}

type sunkMessage struct {
	Conv, Seq int64
	CID, Err  string
}

// readSunk returns the messages that a child prints, until it ends.
func readSunk(out io.Reader) <-chan sunkMessage {
	sunk := make(chan sunkMessage)
	go func() {
		defer close(sunk)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var m sunkMessage
			if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
				return // a line cut off by the kill
			}
			sunk <- m
		}
	}()
	return sunk
}

// Laws 1 and 2 after a crash: when a process is killed during appends, every
// message that its sink got is stored at its seq, and the log has no gap.
func TestKilled(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "chat.db")
	h := newHarness(t, Options{DB: url})
	h.users(3)
	sunk := make(map[[2]int64]string)
	for range 4 {
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childEnv+"="+url)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		n := 0
		for m := range readSunk(out) {
			if n++; n == 500 {
				if err := child.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			k := [2]int64{m.Conv, m.Seq}
			if other, ok := sunk[k]; ok || m.Err != "" {
				t.Fatalf("conversation %d: the sink got cid %q at seq %d (error %q), want no error and a new seq (cid there before: %q)",
					m.Conv, m.CID, m.Seq, m.Err, other)
			}
			sunk[k] = m.CID
		}
		var exit *exec.ExitError
		if err := child.Wait(); !errors.As(err, &exit) || exit.Exited() {
			t.Fatalf("child process: %v, want it to be killed", err)
		}
		if n < 500 {
			t.Fatalf("the sink got %d messages before the kill, want at least 500", n)
		}
		h.open()
		heads, err := h.LogHeads(context.Background(), []int64{1, 2, 3})
		if err != nil || len(heads) != 3 {
			t.Fatalf("LogHeads = %v (error %v), want three", heads, err)
		}
		found := 0
		for _, head := range heads {
			log := h.log(head.Conv)
			if int64(len(log)) != head.Last {
				t.Errorf("conversation %d: %d messages in the log, want its last seq, %d", head.Conv, len(log), head.Last)
			}
			for i, m := range log {
				if m.Seq != int64(i+1) {
					t.Fatalf("conversation %d: message %d has seq %d, want %d", head.Conv, i, m.Seq, i+1)
				}
				if cid, ok := sunk[[2]int64{m.Conv, m.Seq}]; ok {
					found++
					if cid != string(m.CID) {
						t.Errorf("conversation %d: seq %d has cid %q, want %q as in the sink", m.Conv, m.Seq, m.CID, cid)
					}
				}
			}
		}
		if found != len(sunk) {
			t.Fatalf("%d of the messages that the sink got are in the log, want all %d", found, len(sunk))
		}
	}
}

// A second chatd can't open the same SQLite file. The error names the process
// that uses it. (TestKilled shows that a killed process leaves no lock behind.)
func TestSecondProcess(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "chat.db")
	newHarness(t, Options{DB: url})
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childEnv+"="+url)
	out, err := child.CombinedOutput()
	if err == nil || !strings.Contains(string(out), fmt.Sprintf("chat.db: in use by another process (pid %d)", os.Getpid())) {
		t.Fatalf("second process: error %v, output %q; want it to fail and name pid %d", err, out, os.Getpid())
	}
}
