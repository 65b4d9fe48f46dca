package feed

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
)

// batchRows is the maximum number of rows that a Reader loads at a time; with more
// lanes than that, it is one row of each. A row may have a thousand spans, of 56 bytes
// each in memory.
const batchRows = 512

// head is the state of a lane.
type head struct {
	lane    int64
	last    int64 // pos of its last row
	trimmed int64 // rows up to this pos are deleted
	closed  int64 // 0: open; otherwise the number of its closing, and it gets no more rows
}

// positions are those of a lane with after < pos <= upTo.
type positions struct{ lane, after, upTo int64 }

// source is what a Reader reads from. Each call must see all transactions whose
// commit had returned before the call, and may see more.
type source interface {
	heads(ctx context.Context) ([]head, error)
	// forgotten returns the highest closing number of the lanes that have been
	// deleted.
	forgotten(ctx context.Context) (int64, error)
	// rows returns the rows at these positions, ordered by lane and pos.
	rows(ctx context.Context, of []positions) ([]Row, error)
}

// Reader reads the feed. It returns each row exactly once. The rows of a
// conversation come in the order of its log, and so do the rows of a lane. Only one
// goroutine may use it at a time.
type Reader struct {
	src    source
	batch  int64 // batchRows; tests change it
	lanes  map[int64]laneCursor
	closed int64 // the Reader has seen all lanes with closing numbers up to this one
	loaded map[int64][]Row
}

// laneCursor is a Reader's position in a lane.
type laneCursor struct {
	pos  int64 // of the last row that was returned
	last int64 // of the last row that is known to exist
}

// start returns a Reader that returns what is committed after the call. It may also
// return some of what was committed during the call.
func start(ctx context.Context, src source) (*Reader, error) {
	r := newReader(src)
	if err := r.begin(ctx); err != nil {
		return nil, err
	}
	// The heads may lack a predecessor of a row that they have. Discard it, so that
	// it isn't returned after that row.
	for more := true; more; {
		var err error
		if _, more, err = r.Next(ctx); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func newReader(src source) *Reader {
	return &Reader{src: src, batch: batchRows, lanes: make(map[int64]laneCursor), loaded: make(map[int64][]Row)}
}

// begin sets the reader's position to the heads.
func (r *Reader) begin(ctx context.Context) error {
	all, err := r.src.heads(ctx)
	if err == nil {
		r.closed, err = r.src.forgotten(ctx)
	}
	for _, h := range all {
		r.lanes[h.lane] = laneCursor{h.last, h.last}
		r.closed = max(r.closed, h.closed)
	}
	return err
}

// Next returns rows that were committed since the last call. more reports that
// there are rows that it left out: call it again at once. It blocks on the
// database. Errors: ErrTrimmed; ErrBroken; those of the database, after which Next
// can be called again and has skipped nothing.
func (r *Reader) Next(ctx context.Context) (rows []Row, more bool, err error) {
	// A statement that starts later sees every transaction that preceded one that
	// was seen before: see DESIGN.md.
	first, err := r.src.heads(ctx)
	if err != nil {
		return nil, false, err
	}
	second, err := r.src.heads(ctx)
	if err != nil {
		return nil, false, err
	}
	if err := r.observe(ctx, first, second); err != nil {
		return nil, false, err
	}
	complete, err := r.load(ctx, second)
	if err != nil {
		return nil, false, err
	}
	rows = r.cut(first, complete)
	for _, row := range rows {
		c := r.lanes[row.Lane]
		c.pos = row.Pos
		r.lanes[row.Lane] = c
	}
	return rows, complete < math.MaxInt64, nil
}

// observe adds new lanes, removes deleted ones, and checks that nothing was deleted
// before it was read.
func (r *Reader) observe(ctx context.Context, first, second []head) error {
	forgotten, err := r.src.forgotten(ctx)
	if err != nil {
		return err
	}
	if forgotten > r.closed { // a lane was deleted that the Reader may never have seen
		return ErrTrimmed
	}
	for _, h := range first { // not second: it may include one closing but lack an earlier one
		r.closed = max(r.closed, h.closed)
	}
	exists := make(map[int64]bool, len(second))
	for _, h := range second {
		exists[h.lane] = true
		c := r.lanes[h.lane]
		if c.pos < h.trimmed {
			return ErrTrimmed
		}
		c.last = max(c.last, h.last)
		r.lanes[h.lane] = c
	}
	for lane, c := range r.lanes {
		if exists[lane] {
			continue
		}
		if c.pos < c.last {
			return ErrTrimmed
		}
		delete(r.lanes, lane)
	}
	return nil
}

// load reads the rows up to the heads, but only some of each lane. complete is the
// tick up to which it has all rows.
func (r *Reader) load(ctx context.Context, heads []head) (complete int64, err error) {
	complete = math.MaxInt64
	clear(r.loaded)
	var want []positions
	for _, h := range heads {
		if pos := r.lanes[h.lane].pos; pos < h.last {
			want = append(want, positions{h.lane, pos, h.last})
		}
	}
	if len(want) == 0 {
		return complete, nil
	}
	each := max(1, r.batch/int64(len(want)))
	for i := range want {
		want[i].upTo = min(want[i].upTo, want[i].after+each)
	}
	slices.SortFunc(want, func(a, b positions) int { return cmp.Compare(a.lane, b.lane) })
	rows, err := r.src.rows(ctx, want)
	if err != nil {
		return 0, err
	}
	for _, w := range want {
		n := int(w.upTo - w.after)
		for i := range n {
			if i >= len(rows) || rows[i].Lane != w.lane || rows[i].Pos != w.after+int64(i)+1 {
				return 0, r.missing(ctx, w.lane, w.after+int64(i)+1)
			}
		}
		r.loaded[w.lane] = rows[:n]
		rows = rows[n:]
		if w.upTo < r.lanes[w.lane].last {
			complete = min(complete, r.loaded[w.lane][n-1].Tick)
		}
	}
	return complete, nil
}

// missing returns the error for a row that should exist but doesn't.
func (r *Reader) missing(ctx context.Context, lane, pos int64) error {
	heads, err := r.src.heads(ctx)
	if err != nil {
		return err
	}
	for _, h := range heads {
		if h.lane == lane && h.trimmed < pos {
			return fmt.Errorf("%w: lane %d, position %d", ErrBroken, lane, pos)
		}
	}
	return ErrTrimmed
}

// cut returns those of the loaded rows that can be returned now, in order: the rows
// up to the first heads, and all later rows that must precede one of them. It
// leaves out rows with a tick above complete.
func (r *Reader) cut(first []head, complete int64) []Row {
	upTo := make(map[int64]int64, len(first)) // by lane
	for _, h := range first {
		upTo[h.lane] = h.last
	}
	var all []Row
	for _, rows := range r.loaded {
		for _, row := range rows {
			if row.Tick <= complete {
				all = append(all, row)
			}
		}
	}
	slices.SortFunc(all, func(a, b Row) int {
		return cmp.Or(cmp.Compare(a.Tick, b.Tick), cmp.Compare(a.Lane, b.Lane))
	})
	// A row's predecessors have lower ticks, so one pass from the highest tick
	// finds all that are needed.
	needed := make(map[int64]bool) // conversations of the rows taken so far
	taken := all[len(all):]
	for i := len(all) - 1; i >= 0; i-- {
		row := &all[i]
		take := row.Pos <= upTo[row.Lane]
		for j := 0; !take && j < len(row.Spans); j++ {
			take = needed[row.Spans[j].Conv]
		}
		if !take {
			continue
		}
		upTo[row.Lane] = max(upTo[row.Lane], row.Pos)
		for _, s := range row.Spans {
			needed[s.Conv] = true
		}
		// Taken rows are moved to the end of all, behind those not looked at yet.
		taken = all[len(all)-len(taken)-1:]
		taken[0] = *row
	}
	return taken
}
