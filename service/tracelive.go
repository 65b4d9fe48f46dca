package service

import (
	"bytes"
	"context"
	"fmt"
	"time"
)

// traceTimeout bounds how long the loops, and the bus, are waited for.
const traceTimeout = 2 * time.Second

// Trace tells where a message is: what the store knows and, of the sessions
// of this node, how far each has been sent. It blocks; call it off the loops,
// after Start. Errors as FindTrace.
func (s *Service) Trace(ctx context.Context, q TraceQuery) (*Trace, error) {
	f := finder{store: s.store, q: q, now: time.Now()}
	t, err := f.find(ctx)
	if err != nil {
		return nil, err
	}
	t.Node = s.node
	ctx, cancel := context.WithTimeout(ctx, traceTimeout)
	defer cancel()
	if err := s.look(ctx, &f, t); err != nil {
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
	s.reach(ctx, &f, t)
	t.Notes = append(t.Notes, "of sessions on this node the figures are those of this moment; how far any other device is gets written behind, by up to 10 s")
	return t, nil
}

// glimpse is what one loop has of a conversation.
type glimpse struct {
	topic    TraceTopic
	sessions map[*Session]*TraceSession
}

// look asks each loop, and notes the sessions it finds.
func (s *Service) look(ctx context.Context, f *finder, t *Trace) error {
	t.Topic = &TraceTopic{Bus: "up"}
	if s.away.Load() {
		t.Topic.Bus = "away"
	}
	wanted := make([]map[*Session]bool, len(s.loops))
	for i := range wanted {
		wanted[i] = make(map[*Session]bool)
	}
	at := make(map[*Session]*TraceDevice)
	for _, m := range t.Members {
		for _, ss := range s.registry.sessions(m.ID) {
			for _, d := range m.Devices {
				if d.Device == ss.device {
					wanted[ss.loop][ss] = true
					at[ss] = d
				}
			}
		}
	}
	if f.sender != 0 && !t.Stored {
		for _, ss := range s.registry.sessions(f.sender) {
			wanted[ss.loop][ss] = true
		}
	}
	answers := make(chan glimpse, len(s.loops))
	for i := range s.loops {
		err := s.r.Post(i, func(turn Turn) { answers <- s.loops[i].glimpse(turn, t.Conversation, f, wanted[i]) })
		if err != nil {
			return err
		}
	}
	for range s.loops {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case g := <-answers:
			t.Topic.Known = t.Topic.Known || g.topic.Known
			t.Topic.Heard = max(t.Topic.Heard, g.topic.Heard)
			t.Topic.Early += g.topic.Early
			t.Topic.Reading = t.Topic.Reading || g.topic.Reading
			t.Topic.Sending = t.Topic.Sending || g.topic.Sending
			for ss, seen := range g.sessions {
				if d := at[ss]; d != nil {
					seen.Node = s.node
					d.Session = seen
				}
			}
		}
	}
	return nil
}

// glimpse is this loop's part. It goes once through the topic's sessions.
func (l *loop) glimpse(t Turn, c TraceConv, f *finder, wanted map[*Session]bool) glimpse {
	g := glimpse{sessions: make(map[*Session]*TraceSession, len(wanted))}
	for ss := range wanted {
		if ss.ended {
			continue
		}
		g.sessions[ss] = &TraceSession{Since: time.UnixMicro(ss.at).UTC(), Receipts: ss.ack, Live: ss.live.Load(),
			Paused: ss.paused, Waiting: ss.client.conn.Waiting(t)}
		for _, sn := range ss.client.sending {
			mine := sn.Group == c.ID && c.Group || !c.Group && sn.Group == 0 && sn.Sender+sn.Peer == c.Pair[0].ID+c.Pair[1].ID
			g.topic.Sending = g.topic.Sending || mine && sn.Sender == f.sender && bytes.Equal(sn.CID, []byte(f.q.CID))
		}
	}
	tp := l.topics[c.ID]
	if tp == nil {
		return g
	}
	g.topic = TraceTopic{Known: true, Heard: tp.last, Early: len(tp.waiting), Reading: tp.reading || tp.reloading, Sending: g.topic.Sending}
	for i := range tp.subs {
		sb := &tp.subs[i]
		seen := g.sessions[sb.session]
		if seen == nil || sb.sent == unknown {
			continue
		}
		seen.Placed, seen.Sent, seen.Behind = true, sb.sent, sb.behind
		seen.Arrived = sb.told
		if !seen.Receipts {
			seen.Arrived = max(sb.told, sb.taken)
			if sb.session.client.conn.Taken(t) >= sb.pos {
				seen.Arrived = sb.sent
			}
		}
	}
	return g
}

// reach decides about each device, by its session here and by who is online
// on other nodes.
func (s *Service) reach(ctx context.Context, f *finder, t *Trace) {
	ids := make([]int64, 0, len(t.Members))
	for _, m := range t.Members {
		ids = append(ids, m.ID)
	}
	online, err := s.bus.Online(ctx, ids)
	if err != nil {
		t.Notes = append(t.Notes, "who is online on other nodes isn't known: Redis can't be asked")
	}
	for i, m := range t.Members {
		here := len(s.registry.sessions(m.ID)) > 0
		for _, d := range m.Devices {
			f.storeSays(t, m, d)
			if d.Session != nil {
				d.Session.says(t, d)
				continue
			}
			if d.State == TraceHas || d.State == TraceLoggedOut {
				continue
			}
			login := "its last login was " + d.Login.Format(time.DateTime)
			switch {
			case here && s.registry.knownElsewhere(m.ID):
				d.State, d.Why = TraceElsewhere, "not on this node, where the user has other devices online; on another one, or offline; "+login
			case here:
				d.State, d.Why = TraceOffline, "offline, while other devices of the user are online here; "+login
			case s.presence.isLeaving(m.ID):
				d.State, d.Why = TraceOffline, fmt.Sprintf("offline: the user's last session here has just ended (whether there is one on another node shows in %v); %s", s.cfg.Grace, login)
			case err == nil && online[i]:
				d.State, d.Why = TraceElsewhere, "not on this node; the user is online on another one, whose --admin address tells more; "+login
			case err == nil:
				d.State, d.Why = TraceOffline, "offline; "+login
				if d.Login.Before(t.Message.Time) {
					d.Why = "offline, and hasn't logged in since; " + login
				}
			}
		}
	}
}

// says decides about a device that is online here.
func (ts *TraceSession) says(t *Trace, d *TraceDevice) {
	seq, where := t.Message.Seq, "online on "+ts.Node
	if ts.Placed {
		d.Delivered = max(d.Delivered, ts.Arrived)
	}
	switch {
	case d.Delivered >= seq && ts.Receipts:
		d.State, d.Why = TraceHas, where+", has it"
	case d.Delivered >= seq:
		d.State, d.Why = TraceHas, where+", doesn't use receipts: the kernel has taken its bytes"
	case !ts.Live:
		d.State, d.Why = TraceLoggingIn, where+", logging in: it gets what it lacks with LOGIN_ACK and after it"
	case ts.Placed && ts.Sent >= seq && ts.Receipts:
		d.State, d.Why = TraceSent, fmt.Sprintf("%s, was sent it, but its receipt is behind: at seq %d", where, d.Delivered)
	case ts.Placed && ts.Sent >= seq:
		d.State, d.Why = TraceWaits, fmt.Sprintf("%s, doesn't use receipts; %d bytes wait for its connection to take them", where, ts.Waiting)
	case ts.Paused:
		d.State, d.Why = TraceBehind, fmt.Sprintf("%s, reads too slowly: the log waits until it has taken %d bytes; it was sent up to %d", where, ts.Waiting, ts.Sent)
	case ts.Placed:
		d.State, d.Why = TraceBehind, fmt.Sprintf("%s, was sent up to %d; the rest is on its way, live or from the log", where, ts.Sent)
	default:
		d.State, d.Why = TraceBehind, where+"; this node has not heard of it, or is looking up how far the device is: the repair sweep finds it within 10 s"
	}
}
