package trace

import (
	"context"
	"fmt"
	"time"

	"chatd/service/bus"
	"chatd/service/delivery"
	"chatd/service/presence"
	"chatd/service/session"
)

// timeout bounds how long the loops and the bus are waited for.
const timeout = 2 * time.Second

// Tracer traces messages on one node. Any goroutine that may block may use it.
type Tracer struct {
	node     string
	store    Store
	bus      bus.Bus
	sessions *session.Sessions
	presence *presence.Presence
	delivery *delivery.Delivery
	grace    time.Duration // see presence.Config
}

// NewTracer makes the tracer of a node.
func NewTracer(node string, store Store, b bus.Bus, s *session.Sessions, p *presence.Presence, d *delivery.Delivery, grace time.Duration) *Tracer {
	return &Tracer{node: node, store: store, bus: b, sessions: s, presence: p, delivery: d, grace: grace}
}

// Trace tells where a message is: what the store knows and, for the sessions of
// this node, how far each has been sent. It blocks on the store, the loops and
// the bus. Errors are those of Find, and of loops that don't answer.
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
			t.Missing = append(t.Missing, "this node has taken it from its sender, and it waits for the store")
		}
		return t, nil
	}
	switch {
	case !t.Topic.Known:
		t.Published += "; no session here takes part in the conversation, so that this node need not have heard of it"
	case t.Topic.Heard >= t.Message.Seq:
		t.Published += fmt.Sprintf("; this node has heard of it: of all up to %d", t.Topic.Heard)
	default:
		t.Published += fmt.Sprintf("; this node has not heard of it yet, only of all up to %d", t.Topic.Heard)
	}
	tr.reach(ctx, &f, t)
	t.Notes = append(t.Notes, "of sessions on this node the figures are those of this moment; how far any other device is gets written behind, by up to 10 s")
	return t, nil
}

// inspect asks each loop about the conversation, and notes the sessions that it
// finds with their devices.
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
			d.Session = &Session{Node: tr.node, Since: time.UnixMicro(ss.At).UTC(), Receipts: ss.Receipts, Live: p.Live,
				Placed: p.Known, Sent: p.Sent, Arrived: p.Arrived, Behind: p.Backlog, Paused: p.BacklogPaused, Waiting: p.Waiting}
		}
	}
	return nil
}

// reach decides about each device, by its session here and by who is online
// on other nodes.
func (tr *Tracer) reach(ctx context.Context, f *finder, t *Result) {
	ids := make([]int64, 0, len(t.Members))
	for _, m := range t.Members {
		ids = append(ids, m.ID)
	}
	online, err := tr.bus.Online(ctx, ids)
	if err != nil {
		t.Notes = append(t.Notes, "who is online on other nodes isn't known: Redis can't be asked")
	}
	for i, m := range t.Members {
		here := len(tr.sessions.Sessions(m.ID)) > 0
		for _, d := range m.Devices {
			f.storeSays(t, m, d)
			if d.Session != nil {
				d.Session.says(t, d)
				continue
			}
			if d.State == Has || d.State == LoggedOut {
				continue
			}
			login := "its last login was " + d.Login.Format(time.DateTime)
			switch {
			case here && tr.sessions.Elsewhere(m.ID):
				d.State, d.Why = Elsewhere, "not on this node, where the user has other devices online; on another one, or offline; "+login
			case here:
				d.State, d.Why = Offline, "offline, while other devices of the user are online here; "+login
			case tr.presence.Leaving(m.ID):
				d.State, d.Why = Offline, fmt.Sprintf("offline: the user's last session here has just ended (whether there is one on another node shows in %v); %s", tr.grace, login)
			case err == nil && online[i]:
				d.State, d.Why = Elsewhere, "not on this node; the user is online on another one, whose --admin address tells more; "+login
			case err == nil:
				d.State, d.Why = Offline, "offline; "+login
				if d.Login.Before(t.Message.Time) {
					d.Why = "offline, and hasn't logged in since; " + login
				}
			}
		}
	}
}

// says decides about a device that is online here.
func (ts *Session) says(t *Result, d *Device) {
	seq, where := t.Message.Seq, "online on "+ts.Node
	if ts.Placed {
		d.Delivered = max(d.Delivered, ts.Arrived)
	}
	switch {
	case d.Delivered >= seq && ts.Receipts:
		d.State, d.Why = Has, where+", has it"
	case d.Delivered >= seq:
		d.State, d.Why = Has, where+", doesn't use receipts: the kernel has taken its bytes"
	case !ts.Live:
		d.State, d.Why = LoggingIn, where+", logging in: it gets what it lacks with LOGIN_ACK and after it"
	case ts.Placed && ts.Sent >= seq && ts.Receipts:
		d.State, d.Why = Sent, fmt.Sprintf("%s, was sent it, but its receipt is behind: at seq %d", where, d.Delivered)
	case ts.Placed && ts.Sent >= seq:
		d.State, d.Why = Waits, fmt.Sprintf("%s, doesn't use receipts; %d bytes wait for its connection to take them", where, ts.Waiting)
	case ts.Paused:
		d.State, d.Why = Behind, fmt.Sprintf("%s, reads too slowly: the log waits until it has taken %d bytes; it was sent up to %d", where, ts.Waiting, ts.Sent)
	case ts.Placed:
		d.State, d.Why = Behind, fmt.Sprintf("%s, was sent up to %d; the rest is on its way, live or from the log", where, ts.Sent)
	default:
		d.State, d.Why = Behind, where+"; this node has not heard of it, or is looking up how far the device is: the repair sweep finds it within 10 s"
	}
}
