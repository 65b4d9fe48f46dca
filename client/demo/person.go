package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"chatd/client"
	"chatd/proto"
)

// maxReplies is how many replies one person may have pending. Further messages
// get no reply and are counted.
const maxReplies = 64

// person is a scripted person with a client. It may be used by several
// goroutines.
type person struct {
	demo     *demo
	name     string
	password string
	id       int64
	c        *client.Client
	loginMu  sync.RWMutex // read-locked while sending, which needs a login; locked while logged out
	replies  chan reply

	mu   sync.Mutex
	seen map[client.Conv]int64 // seq of the last message received from others
}

// reply is a pending reply to something a newcomer did.
type reply struct {
	conv    client.Conv
	text    string // the text, or "" to choose it by message
	message client.Message
}

// newPerson registers a person and logs them in. An empty password means a
// random one.
func (d *demo) newPerson(ctx context.Context, name, password string) (*person, error) {
	p := &person{demo: d, name: name, password: password, replies: make(chan reply, maxReplies), seen: make(map[client.Conv]int64)}
	if password == "" {
		p.password = rand.Text() // nobody else should be able to log in
	}
	var err error
	p.c, err = client.New(client.Config{Addrs: []string{d.node.Addr()}, Device: "demo", Handlers: client.Handlers{
		Message: p.onMessage, Change: p.onChange, Presence: p.onPresence,
	}})
	if err != nil {
		return nil, err
	}
	if p.id, err = p.c.Register(ctx, name, p.password); err == nil {
		err = p.c.Login(ctx, name, p.password)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), p.c.Close())
	}
	return p, nil
}

// onMessage marks a message as read. If a newcomer sent it, it queues a reply:
// in a group, the members take turns.
func (p *person) onMessage(m client.Message) {
	p.c.MarkRead(m.Conv, m.Seq)
	p.mu.Lock()
	p.seen[m.Conv] = m.Seq
	p.mu.Unlock()
	if !p.demo.isNewcomer(m.From, m.Time) {
		return
	}
	if m.Conv.Group != 0 && !p.demo.isTurnOf(p, m.Conv.Group, m.Seq) {
		return
	}
	p.queueReply(reply{conv: m.Conv, message: m})
}

// onChange welcomes a newcomer who has become a friend or joined a group.
func (p *person) onChange(ch client.Change) {
	if !p.demo.isNewcomer(ch.User, time.Now()) {
		return
	}
	switch ch.Kind {
	case client.FriendAdded:
		p.queueReply(reply{conv: client.User(ch.User), text: welcomeText(p.name, ch.Name, "")})
	case client.MemberJoined:
		if g := p.demo.groupOf(ch.Group); g != nil && g.members[0] == p.name {
			p.queueReply(reply{conv: client.Group(ch.Group), text: welcomeText(p.name, ch.Name, g.name)})
		}
	}
}

// onPresence greets the guest once.
func (p *person) onPresence(pr client.Presence) {
	if pr.Online && p.demo.shouldGreet(p, pr.User) {
		p.queueReply(reply{conv: client.User(pr.User), text: "There you are! We're all scripts here, but the server is real. Send me a message 🙂"})
	}
}

// lastSeen returns the seq of the last message received from others in conv.
func (p *person) lastSeen(conv client.Conv) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[conv]
}

// queueReply queues a reply, or counts it as unanswered if too many are pending.
func (p *person) queueReply(a reply) {
	select {
	case p.replies <- a:
	default:
		p.demo.unanswered.Add(1)
	}
}

// replyLoop sends the queued replies until ctx ends.
func (p *person) replyLoop(ctx context.Context) error {
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case a := <-p.replies:
			if a.text == "" {
				a.text = answerText(p.name, a.message.Name, a.message.Text, n)
			}
			if err := p.say(ctx, a.conv, a.text); err != nil {
				return err
			}
		}
	}
}

// say sends typing events for as long as a human would type, then sends text. It
// waits while the person is logged out or the server can't be reached. It
// ignores refusals that mean that the recipient has blocked the person or no
// longer exists.
func (p *person) say(ctx context.Context, conv client.Conv, text string) error {
	p.loginMu.RLock()
	defer p.loginMu.RUnlock()
	for left := typingDuration(text); left > 0 && ctx.Err() == nil; left -= typingEvery {
		_ = p.c.Typing(conv) // a lost typing event does no harm
		p.demo.sleepScaled(ctx, min(left, typingEvery))
	}
	_, err := p.c.Send(ctx, conv, text)
	var refused *proto.Error
	if errors.As(err, &refused) && (refused.Errno == proto.NotAllowed || refused.Errno == proto.NotFound) {
		return nil // blocked, or deleted
	}
	return p.wrapError(ctx, err)
}

const (
	typingEvery = 2 * time.Second // interval of typing events
	maxTyping   = 4 * time.Second

	loginEvery = time.Second // time between login attempts
)

// typingDuration returns how long a human would take to type text.
func typingDuration(text string) time.Duration {
	return min(600*time.Millisecond+time.Duration(len(text))*25*time.Millisecond, maxTyping)
}

// logOutFor logs the person out and, after the given time, in again.
func (p *person) logOutFor(ctx context.Context, long time.Duration) {
	p.loginMu.Lock()
	defer p.loginMu.Unlock()
	_ = p.c.Logout(ctx) // if it fails, the next login replaces the session
	for p.demo.sleepScaled(ctx, long); ctx.Err() == nil && p.c.Login(ctx, p.name, p.password) != nil; sleep(ctx, loginEvery) {
	}
}

// wrapError adds the person's name to err. It returns nil if ctx has ended:
// errors are expected then.
func (p *person) wrapError(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("%s: %w", p.name, err)
}
