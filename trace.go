package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"chatd/model"
	"chatd/proto"
	"chatd/service"
	"chatd/service/ops"
)

// trace tells where a message is: it asks the chatd at --admin, which knows
// who is connected, or the store alone, which it doesn't change.
func trace(inv *invocation, stdout, stderr io.Writer) error {
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
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		return e.Encode(t)
	}
	_, err = io.WriteString(stdout, traceText(t))
	return err
}

// askTrace asks the chatd at --admin; nil where there is none to be asked.
func askTrace(ctx context.Context, inv *invocation, stderr io.Writer) (*service.Trace, error) {
	if inv.Admin == "" {
		return nil, nil
	}
	answer, err := ops.Ask(ctx, inv.Admin, traceValues(&inv.Trace))
	var refusal *ops.Refusal
	switch {
	case errors.As(err, &refusal):
		return nil, err
	case err != nil:
		fmt.Fprintf(stderr, "chatd: --admin: %v; the store alone is asked\n", err)
		return nil, nil
	}
	t := new(service.Trace)
	err = json.Unmarshal(answer, t)
	if err == nil && !t.Conversation.Group && len(t.Conversation.Pair) != 2 {
		err = errors.New("it names no pair")
	}
	if err != nil {
		return nil, fmt.Errorf("--admin: %s answers what is no trace: %w", inv.Admin, err)
	}
	return t, nil
}

// findTrace asks the store.
func findTrace(ctx context.Context, inv *invocation) (t *service.Trace, err error) {
	if err := mustExist(inv.DB); err != nil {
		return nil, err
	}
	db, err := model.Open(ctx, model.Options{URL: inv.DB, Sync: inv.SQLiteSync, ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	t, err = service.FindTrace(ctx, db, inv.Trace)
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
		return nil, &ops.Refusal{Text: err.Error()}
	}
	t, err := n.service.Trace(ctx, q)
	var e *proto.Error
	if errors.As(err, &e) {
		return nil, &ops.Refusal{NotFound: e.Errno == proto.NotFound, Text: e.Message}
	}
	return t, err
}

// traceValues and parseTrace are the same question as a URL has it.
func traceValues(q *service.TraceQuery) url.Values {
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

func parseTrace(v url.Values) (q service.TraceQuery, err error) {
	numbers := map[string]*int64{"group": &q.Group, "seq": &q.Seq, "after": &q.After}
	words := map[string]*string{"cid": &q.CID, "sender": &q.Sender, "user": &q.User}
	for name, values := range v {
		switch {
		case name == "pair" && len(values) == 2:
			q.Pair = [2]string{values[0], values[1]}
		case name == "pair":
			return q, errors.New("a pair is said as pair=A&pair=B")
		case len(values) != 1:
			return q, fmt.Errorf("%q is said %d times", name, len(values))
		case numbers[name] != nil:
			if *numbers[name], err = strconv.ParseInt(values[0], 10, 64); err != nil {
				return q, fmt.Errorf("%s: %q is no number", name, values[0])
			}
		case words[name] != nil:
			*words[name] = values[0]
		default:
			return q, fmt.Errorf("unknown parameter %q", name)
		}
	}
	return q, q.Validate()
}

// traceText is a trace for people. What clients have named is quoted: a
// terminal obeys what it is shown.
func traceText(t *service.Trace) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	name := func(u service.TraceUser) string { return fmt.Sprintf("%q (%d)", u.Name, u.ID) }
	clock := func(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05.000 UTC") }

	c := &t.Conversation
	switch {
	case c.Group && c.Gone:
		say("group %d %q, dismissed; the last message is %d\n", c.ID, c.Name, c.Last)
	case c.Group:
		say("group %d %q, %d members; the last message is %d\n", c.ID, c.Name, c.Members, c.Last)
	default:
		say("%s and %s; the last message is %d\n", name(c.Pair[0]), name(c.Pair[1]), c.Last)
	}
	if !t.Stored {
		say("not stored:\n")
		for _, m := range t.Missing {
			say("  - %s\n", m)
		}
	} else {
		m := t.Message
		say("stored:    seq %d, %s, from %s, cid %q, %d bytes\n", m.Seq, clock(m.Time), name(m.Sender), m.CID, m.Size)
		say("published: %s\n", t.Published)
	}
	if t.Topic != nil {
		say("node %q: Redis or its stand-in %s, heard up to %d, %d held for their turn, reading the log: %t\n",
			t.Node, t.Topic.Bus, t.Topic.Heard, t.Topic.Early, t.Topic.Reading)
	}
	if t.Stored {
		has, all := 0, 0
		for _, m := range t.Members {
			for _, d := range m.Devices {
				all++
				if d.State == service.TraceHas {
					has++
				}
			}
		}
		say("%d of %d devices have it:\n", has, all)
	}
	for _, m := range t.Members {
		why, read := "", ""
		if m.Why != "" {
			why = ": " + m.Why
		}
		if m.Read {
			read = ", has read it"
		}
		say("  %s%s%s\n", name(m.TraceUser), read, why)
		for _, d := range m.Devices {
			mark := "-"
			if d.State == service.TraceHas {
				mark = "+"
			}
			say("    %s %-12q %s (at seq %d, last login %s)\n", mark, d.Device, d.Why, d.Delivered, clock(d.Login))
		}
	}
	if t.Next != 0 {
		say("  … there are more: --after %d\n", t.Next)
	}
	for _, n := range t.Notes {
		say("note: %s\n", n)
	}
	return b.String()
}
