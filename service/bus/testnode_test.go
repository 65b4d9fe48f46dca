package bus

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// testTimeout is how long a test waits for an expected event.
const testTimeout = 60 * time.Second

// testNode is a node on a Redis server. It records what it receives.
type testNode struct {
	*Redis
	set       *metrics.Set
	log       logBuffer
	upChanges chan bool // the arguments of onChange

	mu    sync.Mutex
	calls [][]Message   // the arguments of receive
	wake  chan struct{} // calls has grown
}

// logBuffer is a bytes.Buffer that several goroutines may use.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *logBuffer) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(b)
}

func (w *logBuffer) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

// dial connects a node to Redis and closes it when the test ends. Commands time
// out after testTimeout, unless cfg sets another timeout.
func dial(t *testing.T, cfg RedisConfig) *testNode {
	t.Helper()
	p, err := tryDial(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func tryDial(t *testing.T, cfg RedisConfig) (*testNode, error) {
	p := &testNode{set: metrics.NewSet(), upChanges: make(chan bool, 1000), wake: make(chan struct{}, 1)}
	cfg.commandTimeout, cfg.dialTimeout = cmp.Or(cfg.commandTimeout, testTimeout), testTimeout
	cfg.Set, cfg.Logger = p.set, slog.New(slog.NewTextHandler(&p.log, nil))
	var err error
	p.Redis, err = DialRedis(t.Context(), cfg, p.record, func(up bool) { p.upChanges <- up })
	if err == nil {
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
			defer cancel()
			if err := p.Close(ctx); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
	return p, err
}

func (p *testNode) record(ms []Message) {
	p.mu.Lock()
	p.calls = append(p.calls, append([]Message(nil), ms...))
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// received lists the messages that the node has received, as "channel text".
func (p *testNode) received() (all []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, ms := range p.calls {
		for _, m := range ms {
			all = append(all, m.Channel.String()+" "+string(m.Payload.Push.Body))
		}
	}
	return all
}

func (p *testNode) hasReceived(message string) bool { return slices.Contains(p.received(), message) }

// waitReceived waits until the node has received n messages. It returns all of
// them as "channel text".
func (p *testNode) waitReceived(t *testing.T, n int) []string {
	t.Helper()
	timer := time.NewTimer(testTimeout)
	defer timer.Stop()
	for {
		all := p.received()
		if len(all) >= n {
			return all
		}
		select {
		case <-p.wake:
		case <-timer.C:
			t.Fatalf("%d messages were received, %d expected; the log:\n%s", len(all), n, p.log.String())
		}
	}
}

// waitUp waits for the next call of onChange and checks its argument.
func (p *testNode) waitUp(t *testing.T, up bool) {
	t.Helper()
	select {
	case got := <-p.upChanges:
		if got != up {
			t.Fatalf("onChange(%v), want onChange(%v); the log:\n%s", got, up, p.log.String())
		}
	case <-time.After(testTimeout):
		t.Fatalf("onChange wasn't called, want onChange(%v); the log:\n%s", up, p.log.String())
	}
}

// subscribe subscribes to the channels and waits until that is active.
func (p *testNode) subscribe(t *testing.T, cs ...Channel) {
	t.Helper()
	for _, c := range cs {
		p.Subscribe(c)
	}
	if err := p.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// publish publishes a Push with a text.
func (p *testNode) publish(t *testing.T, c Channel, text string) {
	t.Helper()
	if err := p.Publish(t.Context(), []Message{notice(c, text)}); err != nil {
		t.Fatal(err)
	}
}

// count returns the value of one of the node's metrics.
func (p *testNode) count(t *testing.T, name string) int {
	t.Helper()
	var b bytes.Buffer
	p.set.WritePrometheus(&b)
	for line := range bytes.Lines(b.Bytes()) {
		var v int
		if n, _ := fmt.Sscanf(string(line), name+" %d", &v); n == 1 {
			return v
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

func notice(c Channel, text string) Message {
	return Message{c, Payload{Push: &Push{Body: []byte(text)}}}
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
