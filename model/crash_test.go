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

// childEnv makes the test program a process that only writes, to be killed.
const childEnv = "CHATD_MODEL_TEST_CHILD"

// childMain appends to the store that the environment names, with several
// conversations, and prints each batch that was sunk, until it is killed.
func childMain() bool {
	url := os.Getenv(childEnv)
	if url == "" {
		return false
	}
	out := json.NewEncoder(os.Stdout)
	room := make(chan int, 1000) // as many may be outstanding
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

// readSunk gives what a child prints, until it has ended.
func readSunk(out io.Reader) <-chan sunkMessage {
	sunk := make(chan sunkMessage)
	go func() {
		defer close(sunk)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var m sunkMessage
			if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
				return // cut by the kill
			}
			sunk <- m
		}
	}()
	return sunk
}

// Laws 1 and 2 over a crash: whatever the sink was given is there after kill
// -9 in the midst of appends, at its seq, and the log has no gap.
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
				t.Fatalf("seq %d of %d given to %s and %s %s", m.Seq, m.Conv, other, m.CID, m.Err)
			}
			sunk[k] = m.CID
		}
		var exit *exec.ExitError
		if err := child.Wait(); !errors.As(err, &exit) || exit.Exited() {
			t.Fatalf("the child ended by itself: %v", err)
		}
		if n < 500 {
			t.Fatalf("only %d sunk", n)
		}
		h.open()
		heads, err := h.LogHeads(context.Background(), []int64{1, 2, 3})
		if err != nil || len(heads) != 3 {
			t.Fatal(heads, err)
		}
		found := 0
		for _, head := range heads {
			log := h.log(head.Conv)
			if int64(len(log)) != head.Last {
				t.Errorf("conversation %d: %d messages, last %d", head.Conv, len(log), head.Last)
			}
			for i, m := range log {
				if m.Seq != int64(i+1) {
					t.Fatalf("conversation %d: seq %d at place %d", head.Conv, m.Seq, i+1)
				}
				if cid, ok := sunk[[2]int64{m.Conv, m.Seq}]; ok {
					found++
					if cid != string(m.CID) {
						t.Errorf("seq %d of %d is %s, was sunk as %s", m.Seq, m.Conv, m.CID, cid)
					}
				}
			}
		}
		if found != len(sunk) {
			t.Fatalf("%d sunk, %d of them in the log", len(sunk), found)
		}
	}
}

// A second daemon on the same file would break everything: it is refused, by
// the process that has it; and a killed one leaves no lock behind (TestKilled).
func TestLocked(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "chat.db")
	newHarness(t, Options{DB: url})
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childEnv+"="+url)
	out, err := child.CombinedOutput()
	if err == nil || !strings.Contains(string(out), fmt.Sprintf("chat.db: in use by another process (pid %d)", os.Getpid())) {
		t.Fatalf("%v: %s", err, out)
	}
}
