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

// maxAsks bounds the newcomers' messages that wait for one person's answer;
// those beyond get none, and are counted.
const maxReplies = 64

// person is somebody of the demo, on a device of their own. Its talk may come
// from several goroutines.
type person struct {
	demo     *demo
	name     string
	password string
	id       int64
	c        *client.Client
	loginMu  sync.RWMutex // read: speaks, and so has to be logged in; written: goes away and comes back
	replies  chan reply

	mu   sync.Mutex
	seen map[client.Conv]int64 // the last message of others that has come
}

// ask is something that a newcomer did and that wants an answer.
type reply struct {
	conv    client.Conv
	text    string // what to say, or "" where it is found by
	message client.Message
}

// newPerson registers somebody and logs them in.
func (d *demo) newPerson(ctx context.Context, name, password string) (*person, error) {
	p := &person{demo: d, name: name, password: password, replies: make(chan reply, maxReplies), seen: make(map[client.Conv]int64)}
	if password == "" {
		p.password = rand.Text() // nobody else is to be them
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

// message reads what others say, and has a newcomer answered: by the one they
// write to, and in a group by one of its members, each message by another.
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

// change welcomes who has become a friend, or has come into a group.
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

// presence greets the guest, once.
func (p *person) onPresence(pr client.Presence) {
	if pr.Online && p.demo.shouldGreet(p, pr.User) {
		p.queueReply(reply{conv: client.User(pr.User), text: "There you are! Everybody in here is a script, me included, but the server is real. Write something 🙂"})
	}
}

// hasSeen is how far others' messages of a conversation have come here.
func (p *person) lastSeen(conv client.Conv) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[conv]
}

func (p *person) queueReply(a reply) {
	select {
	case p.replies <- a:
	default:
		p.demo.unanswered.Add(1)
	}
}

// answer answers newcomers until ctx ends.
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

// say types for as long as somebody would, and sends. It waits while the
// person is away, and while the server can't be reached. A refusal by the
// receiver is none of the demo's faults.
func (p *person) say(ctx context.Context, conv client.Conv, text string) error {
	p.loginMu.RLock()
	defer p.loginMu.RUnlock()
	for left := typingDuration(text); left > 0 && ctx.Err() == nil; left -= typingEvery {
		_ = p.c.Typing(conv) // a note that doesn't arrive is no loss
		p.demo.sleepScaled(ctx, min(left, typingEvery))
	}
	_, err := p.c.Send(ctx, conv, text)
	var refused *proto.Error
	if errors.As(err, &refused) && (refused.Errno == proto.NotAllowed || refused.Errno == proto.NotFound) {
		return nil // blocked, or gone
	}
	return p.wrapError(ctx, err)
}

const (
	typingEvery = 2 * time.Second // a note that one types is repeated
	maxTyping   = 4 * time.Second

	loginEvery = time.Second // while the server can't be reached
)

func typingDuration(text string) time.Duration {
	return min(600*time.Millisecond+time.Duration(len(text))*25*time.Millisecond, maxTyping)
}

// away logs the person out for a while.
func (p *person) logOutFor(ctx context.Context, long time.Duration) {
	p.loginMu.Lock()
	defer p.loginMu.Unlock()
	_ = p.c.Logout(ctx) // where the server can't be told, the login below replaces the old one
	for p.demo.sleepScaled(ctx, long); ctx.Err() == nil && p.c.Login(ctx, p.name, p.password) != nil; sleep(ctx, loginEvery) {
	}
}

// wrong says whose error it is; what fails because the demo ends is none.
func (p *person) wrapError(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("%s: %w", p.name, err)
}
