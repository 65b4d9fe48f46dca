package trace

import (
	"context"
	"fmt"
	"strings"
	"time"

	"chatd/service/delivery"
	"chatd/service/presence"
	"chatd/service/session"
)

// timeout is how long Trace waits for the loops.
const timeout = 2 * time.Second

// Tracer traces messages on one node. It is safe for concurrent use.
type Tracer struct {
	node     string
	store    Store
	sessions *session.Sessions
	presence *presence.Presence
	delivery *delivery.Delivery
	grace    time.Duration // see presence.Config
}

// NewTracer returns the Tracer of a node.
func NewTracer(node string, store Store, s *session.Sessions, p *presence.Presence, d *delivery.Delivery, grace time.Duration) *Tracer {
	return &Tracer{node: node, store: store, sessions: s, presence: p, delivery: d, grace: grace}
}

// Trace is like Find, but also reports which sessions on this node have been
// sent the message, and which users are online on other nodes. It returns the
// errors of Find, and an error if the event loops don't answer within two
// seconds. It blocks.
func (tr *Tracer) Trace(ctx context.Context, q Query) (*Result, error) {
	f := finder{store: tr.store, q: q, now: time.Now()}
	t, err := f.find(ctx)
	if err != nil {
		return nil, err
	}
	t.Node = tr.node
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := tr.inspect(ctx, &f, t); err != nil {
		return nil, fmt.Errorf("ask the event loops: %w", err)
	}
	if !t.Stored {
		if t.Topic.Sending {
			t.Missing = append(t.Missing, "this node has received it from the sender and is storing it")
		}
		return t, nil
	}
	switch {
	case !t.Topic.Known:
		t.Published += "; this node has no session in the conversation, so it may not have heard of the message"
	case t.Topic.Heard >= t.Message.Seq:
		t.Published += fmt.Sprintf("; this node has heard of it (and of all up to seq %d)", t.Topic.Heard)
	default:
		t.Published += fmt.Sprintf("; this node hasn't heard of it yet (only of those up to seq %d)", t.Topic.Heard)
	}
	tr.setStates(&f, t)
	t.Notes = append(t.Notes, "sessions on this node are exact; the delivered cursors of other devices are stored up to 10 s late")
	return t, nil
}

// inspect asks each loop about the conversation. It sets t.Topic, and the
// Session of each device that is online on this node.
func (tr *Tracer) inspect(ctx context.Context, f *finder, t *Result) error {
	t.Topic = &Topic{Bus: "up"}
	if tr.presence.BusAway() {
		t.Topic.Bus = "away"
	}
	q := delivery.Inquiry{Conv: t.Conversation.ID, Sender: f.sender, CID: []byte(f.q.CID)}
	if t.Conversation.Group {
		q.Group = t.Conversation.ID
	} else {
		q.PairSum = t.Conversation.Pair[0].ID + t.Conversation.Pair[1].ID
	}
	device := make(map[*session.Session]*Device)
	for _, m := range t.Members {
		for _, ss := range tr.sessions.Sessions(m.ID) {
			for _, d := range m.Devices {
				if d.Device == ss.Device {
					device[ss] = d
					q.Sessions = append(q.Sessions, ss)
				}
			}
		}
	}
	if f.sender != 0 && !t.Stored {
		q.Sessions = append(q.Sessions, tr.sessions.Sessions(f.sender)...)
	}
	s, err := tr.delivery.Inspect(ctx, q)
	if err != nil {
		return err
	}
	*t.Topic = Topic{Bus: t.Topic.Bus, Known: s.Known, Heard: s.Last, Early: s.Early, Reading: s.Reading, Sending: s.Sending}
	for ss, p := range s.Sessions {
		if d := device[ss]; d != nil {
			d.Session = &Session{Node: tr.node, Since: ss.Since.UTC(), Receipts: ss.Receipts, Live: p.Live,
				Placed: p.Known, Sent: p.Sent, Arrived: p.Arrived, Behind: p.Backlog, Paused: p.BacklogPaused, Waiting: p.Waiting}
		}
	}
	return nil
}

// setStates sets the state of each device, from its session on this node and
// from who is online on other nodes.
func (tr *Tracer) setStates(f *finder, t *Result) {
	if tr.presence.BusAway() {
		t.Notes = append(t.Notes, "Redis is unavailable: who is online on other nodes may be out of date")
	}
	for _, m := range t.Members {
		here := len(tr.sessions.Sessions(m.ID)) > 0
		nodes := tr.presence.NodesElsewhere(m.ID)
		for _, d := range m.Devices {
			f.setStateFromStore(t, m, d)
			if d.Session != nil {
				d.setStateFromSession(t)
				continue
			}
			if d.State == Has || d.State == LoggedOut {
				continue
			}
			login := "last used " + d.Login.Format(time.DateTime)
			switch {
			case here && len(nodes) > 0:
				d.State, d.Why = Elsewhere, fmt.Sprintf("on %s or offline; other devices of the user are online on this node; %s", list(nodes), login)
			case here:
				d.State, d.Why = Offline, "offline; other devices of the user are online on this node; "+login
			case len(nodes) > 0:
				d.State, d.Why = Elsewhere, fmt.Sprintf("the user is online on %s: ask there with --admin; %s", list(nodes), login)
			case tr.presence.Leaving(m.ID):
				d.State, d.Why = Offline, fmt.Sprintf("offline: the user's last session on this node has just ended (friends see the user online for %v); %s", tr.grace, login)
			default:
				d.State, d.Why = Offline, "offline; "+login
				if d.Login.Before(t.Message.Time) {
					d.Why = "offline, and not used since the message; " + login
				}
			}
		}
	}
}

// list names nodes: "node a", or "nodes a, b".
func list(nodes []string) string {
	word := "node "
	if len(nodes) > 1 {
		word = "nodes "
	}
	return word + strings.Join(nodes, ", ")
}

// setStateFromSession sets the state of a device that is online on this node.
func (d *Device) setStateFromSession(t *Result) {
	ts := d.Session
	seq, where := t.Message.Seq, "online on "+ts.Node
	if ts.Placed {
		d.Delivered = max(d.Delivered, ts.Arrived)
	}
	switch {
	case d.Delivered >= seq && ts.Receipts:
		d.State, d.Why = Has, where+"; has sent a receipt for it"
	case d.Delivered >= seq:
		d.State, d.Why = Has, where+"; uses no receipts; the kernel has accepted the bytes"
	case !ts.Live:
		d.State, d.Why = LoggingIn, where+"; logging in: gets the message with LOGIN_ACK or after it"
	case ts.Placed && ts.Sent >= seq && ts.Receipts:
		d.State, d.Why = Sent, fmt.Sprintf("%s; sent, but its receipts only go up to seq %d", where, d.Delivered)
	case ts.Placed && ts.Sent >= seq:
		d.State, d.Why = Waits, fmt.Sprintf("%s; uses no receipts; %d bytes are waiting to be sent", where, ts.Waiting)
	case ts.Paused:
		d.State, d.Why = Behind, fmt.Sprintf("%s; reads too slowly: sent up to seq %d; %d bytes are waiting to be sent", where, ts.Sent, ts.Waiting)
	case ts.Placed:
		d.State, d.Why = Behind, fmt.Sprintf("%s; sent up to seq %d; the rest is on its way", where, ts.Sent)
	default:
		d.State, d.Why = Behind, where+"; this node hasn't heard of the message, or is reading the device's cursor; repair finds the message within 2 s"
	}
}
