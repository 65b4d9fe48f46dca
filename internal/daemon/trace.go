package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"chatd/internal/names"
	"chatd/model"
	"chatd/proto"
	"chatd/service/ops"
	"chatd/service/trace"
)

// runTrace prints which devices have a message. It asks the chatd at --admin, which knows
// who is connected, or reads the database, which it doesn't change.
func runTrace(inv *invocation, stdout, stderr io.Writer) error {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	t, err := askTrace(ctx, inv, stderr)
	if err == nil && t == nil {
		t, err = findTrace(ctx, inv)
	}
	if err != nil {
		return err
	}
	if inv.JSON {
		e := json.NewEncoder(printable{stdout})
		e.SetIndent("", "  ")
		return e.Encode(t)
	}
	_, err = io.WriteString(stdout, traceText(t))
	return err
}

// askTrace asks the chatd at --admin. It returns nil if --admin isn't set or
// nothing answers there.
func askTrace(ctx context.Context, inv *invocation, stderr io.Writer) (*trace.Result, error) {
	if inv.Ops.Admin == "" {
		return nil, nil
	}
	answer, err := ops.FetchTrace(ctx, inv.Ops.Admin, traceValues(&inv.Trace))
	var refusal *ops.RequestError
	switch {
	case errors.As(err, &refusal):
		return nil, errors.New(plain(refusal.Text))
	case err != nil:
		fmt.Fprintf(stderr, "chatd: --admin: %s; reading the database instead\n", plain(err.Error()))
		return nil, nil
	}
	t := new(trace.Result)
	if err = json.Unmarshal(answer, t); err == nil {
		err = checkTrace(t)
	}
	if err != nil {
		return nil, fmt.Errorf("--admin: %s sent an invalid answer: %s", inv.Ops.Admin, plain(err.Error()))
	}
	return t, nil
}

// checkTrace returns an error if t lacks something that chatd always sends.
func checkTrace(t *trace.Result) error {
	switch c := &t.Conversation; {
	case !c.Group && len(c.Pair) != 2:
		return errors.New("it doesn't contain the two users of the conversation")
	case t.Stored && t.Message == nil:
		return errors.New("it says that the message is stored, but doesn't contain it")
	}
	for _, m := range t.Members {
		if m == nil || slices.Contains(m.Devices, nil) {
			return errors.New("a member or a device is null")
		}
	}
	return nil
}

func findTrace(ctx context.Context, inv *invocation) (t *trace.Result, err error) {
	if err := mustExist(inv.Store.DB); err != nil {
		return nil, err
	}
	db, err := model.Open(ctx, model.Options{DB: inv.Store.DB, SQLiteSync: inv.Store.SQLiteSync, ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	t, err = trace.Find(ctx, db, inv.Trace)
	var e *proto.Error
	if errors.As(err, &e) {
		err = errors.New(e.Message) // the errno is for clients
	}
	return t, err
}

// trace answers GET /trace of the admin address.
func (n *node) trace(ctx context.Context, v url.Values) (any, error) {
	q, err := parseTrace(v)
	if err != nil {
		return nil, &ops.RequestError{Text: err.Error()}
	}
	t, err := n.service.Trace(ctx, q)
	var e *proto.Error
	if errors.As(err, &e) {
		return nil, &ops.RequestError{NotFound: e.Errno == proto.NotFound, Text: e.Message}
	}
	return t, err
}

// traceValues returns a query as the parameters of GET /trace.
func traceValues(q *trace.Query) url.Values {
	v := url.Values{}
	for name, n := range map[string]int64{"group": q.Group, "seq": q.Seq, "after": q.After} {
		if n != 0 {
			v.Set(name, strconv.FormatInt(n, 10))
		}
	}
	for name, s := range map[string]string{"cid": q.CID, "sender": q.Sender, "user": q.User} {
		if s != "" {
			v.Set(name, s)
		}
	}
	if q.Pair[0] != "" || q.Pair[1] != "" {
		v["pair"] = q.Pair[:]
	}
	return v
}

// parseTrace reads what traceValues returns, and checks the query.
func parseTrace(v url.Values) (q trace.Query, err error) {
	numbers := map[string]*int64{"group": &q.Group, "seq": &q.Seq, "after": &q.After}
	words := map[string]*string{"cid": &q.CID, "sender": &q.Sender, "user": &q.User}
	for name, values := range v {
		switch {
		case name == "pair" && len(values) == 2:
			q.Pair = [2]string{values[0], values[1]}
		case name == "pair":
			return q, errors.New("pair must be given twice: pair=A&pair=B")
		case len(values) != 1:
			return q, fmt.Errorf("%q is given %d times", name, len(values))
		case numbers[name] != nil:
			if *numbers[name], err = strconv.ParseInt(values[0], 10, 64); err != nil {
				return q, fmt.Errorf("%s: %q is not a number", name, values[0])
			}
		case words[name] != nil:
			*words[name] = values[0]
		default:
			return q, fmt.Errorf("unknown parameter %q", name)
		}
	}
	return q, q.Validate()
}

// plain escapes everything in a text that can't be printed, line ends included.
// Whatever listens at --admin chose the text: it must not send control
// sequences to the terminal, or forge a line of the output.
func plain(s string) string {
	q := strconv.Quote(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}

// traceText returns a trace as text. Names that clients chose are quoted. All
// other texts go through plain, because whatever listens at --admin may have
// sent them.
func traceText(t *trace.Result) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	name := func(u trace.User) string { return fmt.Sprintf("%s (%d)", names.Quote(u.Name), u.ID) }
	clock := func(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05.000 UTC") }

	c := &t.Conversation
	switch {
	case c.Group && c.Gone:
		say("group %d %s, dismissed; last seq %d\n", c.ID, names.Quote(c.Name), c.Last)
	case c.Group:
		say("group %d %s, %d members; last seq %d\n", c.ID, names.Quote(c.Name), c.Members, c.Last)
	default:
		say("%s and %s; last seq %d\n", name(c.Pair[0]), name(c.Pair[1]), c.Last)
	}
	if !t.Stored {
		say("not stored:\n")
		for _, m := range t.Missing {
			say("  - %s\n", plain(m))
		}
	} else {
		m := t.Message
		say("stored:    seq %d, %s, from %s, cid %q, %d bytes\n", m.Seq, clock(m.Time), name(m.Sender), m.CID, m.Size)
		say("published: %s\n", plain(t.Published))
	}
	if t.Topic != nil {
		say("node %q: bus %s, received up to seq %d, %d early messages held, reading the log: %t\n",
			t.Node, plain(t.Topic.Bus), t.Topic.Heard, t.Topic.Early, t.Topic.Reading)
	}
	if t.Stored {
		has, all := 0, 0
		for _, m := range t.Members {
			for _, d := range m.Devices {
				all++
				if d.State == trace.Has {
					has++
				}
			}
		}
		say("%d of %d devices have it:\n", has, all)
	}
	for _, m := range t.Members {
		why, read := "", ""
		if m.Why != "" {
			why = ": " + plain(m.Why)
		}
		if m.Read {
			read = ", has read it"
		}
		say("  %s%s%s\n", name(m.User), read, why)
		for _, d := range m.Devices {
			mark := "-"
			if d.State == trace.Has {
				mark = "+"
			}
			say("    %s %-12q %s (has up to seq %d, last used %s)\n", mark, d.Device, plain(d.Why), d.Delivered, clock(d.Login))
		}
	}
	if t.Next != 0 {
		say("  … more members: --after %d\n", t.Next)
	}
	for _, n := range t.Notes {
		say("note: %s\n", plain(n))
	}
	return b.String()
}
