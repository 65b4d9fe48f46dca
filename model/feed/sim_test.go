package feed

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// sim is a database in memory, with several connections that write and several
// readers. Its snapshots are as weak as the source of Readers allows: a snapshot has
// everything that was committed before it began, and any part of what was committed
// meanwhile. All steps are random, but depend only on the seed.
type sim struct {
	rnd     *rand.Rand
	mutant  string
	conns   []*simConn
	convs   []simConv
	log     []Row // in the order of the commits
	nextID  int64
	readers []*simReader
}

type simConn struct {
	lane, pos, tick int64
	open            []int // the conversations that the open transaction has locked
}

type simConv struct {
	last, tick int64
	locked     bool
}

// simReader checks what a Reader returns.
type simReader struct {
	*Reader
	seen map[int64]int64 // by conversation, the last seq
	rows map[[2]int64]bool
	late bool // it started after the first commits: the first seq that it sees may be any
}

// Numbers of simulations: of the feed as it is, and of each mutant until it is
// noticed.
const simSeeds, mutantSeeds = 30, 300

// Mutants of the writers and of the database. Each must be noticed.
var simMutants = []string{
	"a row is missing",
	"a position is used again after a commit of unknown outcome",
	"ticks ignore the conversations",
	"ticks ignore the lane",
	"ticks are not stored",
	"readers ignore ticks",
	"readers use one snapshot",
	"readers start with weak heads",
}

func newSim(seed uint64, mutant string) *sim {
	s := &sim{rnd: rand.New(rand.NewPCG(seed, 1)), mutant: mutant, convs: make([]simConv, 6)}
	for range 4 {
		c := &simConn{}
		s.conns = append(s.conns, c)
		s.take(c)
	}
	return s
}

// take gives a connection a new lane.
func (s *sim) take(c *simConn) {
	s.nextID++
	c.lane, c.pos = s.nextID, 0
}

// step lets one connection begin, commit or lose a transaction.
func (s *sim) step() {
	if len(s.conns) == 0 {
		return
	}
	c := s.conns[s.rnd.IntN(len(s.conns))]
	if c.open == nil {
		for _, i := range s.rnd.Perm(len(s.convs))[:1+s.rnd.IntN(3)] {
			if !s.convs[i].locked {
				s.convs[i].locked = true
				c.open = append(c.open, i)
			}
		}
		return
	}
	switch s.rnd.IntN(10) {
	case 0: // the connection is lost before the commit
		s.unlock(c)
		s.take(c)
	case 1: // after it, but the client doesn't know
		s.commit(c)
		if s.mutant == "a position is used again after a commit of unknown outcome" {
			c.pos--
		} else {
			s.take(c)
		}
	default:
		s.commit(c)
	}
}

func (s *sim) unlock(c *simConn) {
	for _, i := range c.open {
		s.convs[i].locked = false
	}
	c.open = nil
}

func (s *sim) commit(c *simConn) {
	lane := &Lane{tick: c.tick}
	if s.mutant == "ticks ignore the lane" {
		lane.tick = 0
	}
	highest := int64(0)
	for _, i := range c.open {
		highest = max(highest, s.convs[i].tick)
	}
	if s.mutant == "ticks ignore the conversations" {
		highest = 0
	}
	c.pos++
	row := Row{Lane: c.lane, Pos: c.pos, Tick: lane.Tick(highest)}
	c.tick = row.Tick
	for _, i := range c.open {
		cv := &s.convs[i]
		first := cv.last + 1
		cv.last += int64(s.rnd.IntN(3))
		if s.mutant != "ticks are not stored" {
			cv.tick = row.Tick
		}
		if cv.last >= first { // an empty span says nothing about the order
			row.Spans = append(row.Spans, Span{Conv: int64(i), First: first, Last: cv.last})
		}
	}
	if s.mutant != "a row is missing" || s.rnd.IntN(50) > 0 {
		s.log = append(s.log, row)
	}
	s.unlock(c)
}

// snapshot returns the rows that a statement sees. Other transactions commit while
// it runs.
func (s *sim) snapshot() []Row {
	n := len(s.log)
	for range s.rnd.IntN(6) {
		s.step()
	}
	rows := slices.Clone(s.log[:n])
	for _, r := range s.log[n:] {
		if s.rnd.IntN(2) == 0 {
			rows = append(rows, r)
		}
	}
	return rows
}

// simSource is what one reader reads from.
type simSource struct {
	*sim
	single []head // with the mutant "readers use one snapshot": the first of two heads
}

func (s *simSource) heads(context.Context) ([]head, error) {
	if s.mutant == "readers use one snapshot" && s.single != nil {
		h := s.single
		s.single = nil
		return h, nil
	}
	last := make(map[int64]int64)
	for _, r := range s.snapshot() {
		last[r.Lane] = max(last[r.Lane], r.Pos)
	}
	var all []head
	for lane, pos := range last {
		all = append(all, head{lane: lane, last: pos})
	}
	s.single = all
	return all, nil
}

func (s *simSource) forgotten(context.Context) (int64, error) { return 0, nil }

func (s *simSource) rows(_ context.Context, of []positions) ([]Row, error) {
	found := make(map[[2]int64]Row)
	for _, r := range s.snapshot() {
		for _, p := range of {
			if r.Lane == p.lane && r.Pos > p.after && r.Pos <= p.upTo {
				if s.mutant == "readers ignore ticks" {
					r.Tick = 1
				}
				found[[2]int64{r.Lane, r.Pos}] = r
			}
		}
	}
	keys := slices.SortedFunc(maps.Keys(found), func(a, b [2]int64) int { return slices.Compare(a[:], b[:]) })
	rows := make([]Row, len(keys))
	for i, k := range keys {
		rows[i] = found[k]
	}
	return rows, nil
}

// look calls Next and checks what it returns.
func (r *simReader) look(s *sim) (more bool, err error) {
	rows, more, err := r.Next(context.Background())
	if err != nil {
		return false, err
	}
	for _, row := range rows {
		k := [2]int64{row.Lane, row.Pos}
		if r.rows[k] {
			return false, fmt.Errorf("row %d of lane %d was returned twice, want once", row.Pos, row.Lane)
		}
		r.rows[k] = true
		for _, p := range row.Spans {
			if _, ok := r.seen[p.Conv]; p.First != r.seen[p.Conv]+1 && (ok || !r.late) {
				return false, fmt.Errorf("conversation %d: seq %d was returned after %d, want %d", p.Conv, p.First, r.seen[p.Conv], r.seen[p.Conv]+1)
			}
			r.seen[p.Conv] = p.Last
		}
	}
	return more, nil
}

// startReader starts a reader that loads few rows at a time.
func (s *sim) startReader(src source) (*Reader, error) {
	if s.mutant == "readers start with weak heads" {
		r := newReader(src)
		return r, r.begin(context.Background())
	}
	return start(context.Background(), src)
}

// run lets writers and readers work, and then checks that the readers have
// everything. It returns the first thing that is wrong.
func (s *sim) run(steps int) error {
	for range 3 {
		r, err := start(context.Background(), &simSource{sim: &sim{rnd: s.rnd}}) // before the first commit
		if err != nil {
			return err
		}
		r.src, r.batch = &simSource{sim: s}, int64(1+s.rnd.IntN(5))
		s.readers = append(s.readers, &simReader{r, make(map[int64]int64), make(map[[2]int64]bool), false})
	}
	for i := range steps {
		s.step()
		if i%60 == 59 {
			r, err := s.startReader(&simSource{sim: s})
			if err != nil {
				return err
			}
			s.readers = append(s.readers, &simReader{r, make(map[int64]int64), make(map[[2]int64]bool), true})
		}
		if s.rnd.IntN(4) == 0 {
			if _, err := s.readers[s.rnd.IntN(len(s.readers))].look(s); err != nil {
				return err
			}
		}
	}
	for _, c := range s.conns {
		if c.open != nil {
			s.commit(c)
		}
	}
	s.conns = nil // nobody writes any more
	for _, r := range s.readers {
		for more := true; more; {
			var err error
			if more, err = r.look(s); err != nil {
				return err
			}
		}
		for i, cv := range s.convs {
			if got, ok := r.seen[int64(i)]; got != cv.last && (ok || !r.late) {
				return fmt.Errorf("conversation %d: the reader has seqs up to %d, want %d", i, got, cv.last)
			}
		}
	}
	return nil
}

// With any interleaving of transactions, lost connections, commits of unknown outcome
// and weak snapshots, every reader gets each conversation's entries in order, once,
// and with none missing. The prefix that it has at any time is free of gaps.
func TestSimulation(t *testing.T) {
	for seed := range uint64(simSeeds) {
		if err := newSim(seed, "").run(250); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// The simulation notices when a rule of the feed is broken.
func TestSimulationMutants(t *testing.T) {
	for _, mutant := range simMutants {
		t.Run(mutant, func(t *testing.T) {
			for seed := range uint64(mutantSeeds) {
				s := newSim(seed, mutant)
				if err := s.run(250); err != nil {
					if errors.Is(err, ErrTrimmed) {
						t.Fatalf("seed %d: %v, want another finding", seed, err)
					}
					t.Logf("seed %d: %v", seed, err)
					return
				}
			}
			t.Errorf("%d runs found nothing, want a finding", mutantSeeds)
		})
	}
}
