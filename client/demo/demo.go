package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"chatd/client"
	"chatd/internal/services"
)

//go:embed script.txt
var scriptText string

const (
	guestPassword = "guest-guest"

	// Default ports, if they are free.
	defaultPort, defaultHTTP = 6000, 8080

	pollEvery  = 5 * time.Millisecond   // how often to check for the guest's messages
	aliveEvery = 500 * time.Millisecond // how often to check that the server is running
)

// demo is a server in a temporary directory, and its scripted people. It listens
// only on the loopback address.
type demo struct {
	options
	script *script
	out    io.Writer // where live messages are printed
	outMu  sync.Mutex

	folder *services.Folder
	node   *services.Node
	people map[string]*person // by name; includes the guest until closeGuest

	unanswered atomic.Uint64 // messages of newcomers without a reply; see maxReplies
	populated  atomic.Bool   // newDemo is done: users other than the scripted ones are newcomers
	greeted    atomic.Bool   // set when the guest has been greeted

	mu        sync.Mutex // guards the fields below and the groups' IDs
	scripted  map[int64]bool
	guest     int64
	progress  map[client.Conv]progress // by conversation of the guest
	scriptEnd time.Time                // time of the last scripted message: later ones of the guest are a newcomer's
}

// progress is how far the script has got in a conversation.
type progress struct{ last, lastByOthers int64 } // last seq; last seq that the guest didn't send

// newDemo starts the server, creates users, friendships and groups, and sends
// the past and unread messages. It takes a second or two. If the demo isn't nil, the
// caller must close it, even after an error.
func newDemo(ctx context.Context, o options, out io.Writer) (*demo, error) {
	s, err := readScript(strings.NewReader(scriptText))
	if err != nil {
		return nil, err
	}
	d := &demo{options: o, script: s, out: out, people: make(map[string]*person), scripted: make(map[int64]bool), progress: make(map[client.Conv]progress)}
	if d.folder, err = services.NewFolder(o.Dir, "chatd-demo-"); err != nil {
		return nil, err
	}
	if err = d.start(ctx); err == nil {
		err = d.populate(ctx)
	}
	return d, err
}

// start starts the server, on the default ports if they are free and no others
// were requested.
func (d *demo) start(ctx context.Context) (err error) {
	port, http := d.Port, d.HTTP
	if port == 0 && !services.Taken(defaultPort) {
		port = defaultPort
	}
	if http == 0 && !services.Taken(defaultHTTP) {
		http = defaultHTTP
	}
	// The accounts are temporary: cheap password hashing is enough.
	d.node, err = services.NewNodeAt(d.folder, "demo", d.Chatd, port, http,
		"--node", "demo", "--db", "sqlite:"+filepath.Join(d.folder.Path, "demo.db"), "--argon2", "8,1,1")
	if err != nil {
		return err
	}
	return d.node.Start(ctx)
}

// populate creates users, friendships and groups, and sends past and unread messages.
func (d *demo) populate(ctx context.Context) error {
	names := append([]string{guestName}, d.script.people...)
	g, each := errgroup.WithContext(ctx)
	for _, name := range names {
		password := ""
		if name == guestName {
			password = guestPassword
		}
		g.Go(func() error {
			p, err := d.newPerson(each, name, password)
			if err != nil {
				return err
			}
			d.mu.Lock()
			defer d.mu.Unlock()
			d.people[name] = p
			if name == guestName {
				d.guest = p.id
			} else {
				d.scripted[p.id] = true
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, name := range names {
		for _, other := range names[:i] {
			if _, err := d.people[name].c.AddFriend(ctx, d.people[other].id); err != nil {
				return fmt.Errorf("make %s and %s friends: %w", name, other, err)
			}
		}
	}
	for _, gr := range d.script.groups {
		if err := d.createGroup(ctx, gr); err != nil {
			return fmt.Errorf("create group %s: %w", gr.name, err)
		}
	}
	if err := d.replay(ctx, phasePast); err != nil {
		return err
	}
	if err := d.closeGuest(ctx); err != nil {
		return err
	}
	if err := d.replay(ctx, phaseUnread); err != nil {
		return err
	}
	d.populated.Store(true)
	return nil
}

// createGroup creates a group and lets its members join.
func (d *demo) createGroup(ctx context.Context, g *group) error {
	id, err := d.people[g.members[0]].c.CreateGroup(ctx, g.name, g.description)
	if err != nil {
		return err
	}
	d.mu.Lock()
	g.id = id
	d.mu.Unlock()
	for _, name := range append([]string{guestName}, g.members[1:]...) {
		if _, err := d.people[name].c.JoinGroup(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// replay sends the messages of a phase without pauses: in order within each
// place, all places concurrently.
func (d *demo) replay(ctx context.Context, phase string) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, scenes := range d.script.scenesByPlace(phase) {
		g.Go(func() error {
			for _, sc := range scenes {
				for _, l := range sc.lines {
					p, conv := d.speaker(sc, l)
					r, err := p.c.Send(ctx, conv, l.text)
					if err != nil {
						return fmt.Errorf("%s: %w", l.who, err)
					}
					d.recordProgress(sc, l, r)
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// recordProgress records that a line was sent.
func (d *demo) recordProgress(sc *scene, l line, r client.Receipt) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.Time.After(d.scriptEnd) {
		d.scriptEnd = r.Time
	}
	var conv client.Conv
	switch {
	case sc.group != nil:
		conv = client.Group(sc.group.id)
	case sc.pair[0] == guestName:
		conv = client.User(d.people[sc.pair[1]].id)
	case sc.pair[1] == guestName:
		conv = client.User(d.people[sc.pair[0]].id)
	default:
		return
	}
	t := d.progress[conv]
	t.last = r.Seq
	if l.who != guestName {
		t.lastByOthers = r.Seq
	}
	d.progress[conv] = t
}

// closeGuest marks the past messages as read by the guest, and closes its
// client. From then on, the account is for newcomers.
func (d *demo) closeGuest(ctx context.Context) error {
	guest := d.people[guestName]
	for conv, t := range d.progress {
		for guest.lastSeen(conv) < t.lastByOthers {
			if sleep(ctx, pollEvery); ctx.Err() != nil {
				return ctx.Err()
			}
		}
		guest.c.MarkRead(conv, t.last)
	}
	delete(d.people, guestName)
	return guest.c.Close() // Close sends the receipts
}

// speaker returns who says a line, and in which conversation from their view.
func (d *demo) speaker(sc *scene, l line) (*person, client.Conv) {
	p := d.people[l.who]
	if sc.group != nil {
		return p, client.Group(sc.group.id)
	}
	other := sc.pair[0]
	if other == l.who {
		other = sc.pair[1]
	}
	if other == guestName {
		return p, client.User(d.guest)
	}
	return p, client.User(d.people[other].id)
}

// run lets people chat, reply, come and go until ctx ends. It returns an error
// if sending fails or the server has ended.
func (d *demo) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for i, scenes := range d.script.scenesByPlace(phaseLive) {
		g.Go(func() error {
			// Start the places one after another, the first at once.
			for d.sleepScaled(ctx, time.Duration(i)*1500*time.Millisecond); ctx.Err() == nil; d.sleepScaled(ctx, randomSeconds(15, 40)) {
				if err := d.playScene(ctx, scenes[0]); err != nil {
					return err
				}
				scenes = append(scenes[1:], scenes[0])
			}
			return nil
		})
	}
	for _, p := range d.people {
		g.Go(func() error { return p.replyLoop(ctx) })
	}
	g.Go(func() error { d.cyclePresence(ctx); return nil })
	g.Go(func() error {
		for ; ctx.Err() == nil; sleep(ctx, aliveEvery) {
			if err := d.node.Ended(); err != nil {
				return err
			}
		}
		return nil
	})
	return g.Wait()
}

// playScene sends a scene's messages, with pauses.
func (d *demo) playScene(ctx context.Context, sc *scene) error {
	for _, l := range sc.lines {
		if ctx.Err() != nil {
			return nil
		}
		p, conv := d.speaker(sc, l)
		if err := p.say(ctx, conv, l.text); err != nil {
			return err
		}
		if ctx.Err() == nil {
			d.printLine(sc, l)
		}
		d.sleepScaled(ctx, randomSeconds(1, 5))
	}
	return nil
}

// printLine prints a message to d.out.
func (d *demo) printLine(sc *scene, l line) {
	place := sc.place
	if sc.group != nil {
		place = sc.group.name
	}
	d.outMu.Lock()
	defer d.outMu.Unlock()
	fmt.Fprintf(d.out, "  %s · %s: %s\n", place, l.who, strings.ReplaceAll(l.text, "\n", " / "))
}

// cyclePresence logs one person after another out and in again.
func (d *demo) cyclePresence(ctx context.Context) {
	for {
		for _, i := range rand.Perm(len(d.script.people)) {
			if d.sleepScaled(ctx, randomSeconds(10, 25)); ctx.Err() != nil {
				return
			}
			d.people[d.script.people[i]].logOutFor(ctx, randomSeconds(6, 15))
		}
	}
}

// close closes all clients, stops the server and removes its directory.
func (d *demo) close() error {
	var errs []error
	var leaving sync.WaitGroup
	failed := make(chan error, len(d.people))
	for _, p := range d.people {
		leaving.Go(func() { failed <- p.c.Close() })
	}
	leaving.Wait()
	close(failed)
	for err := range failed {
		errs = append(errs, err)
	}
	if d.node != nil {
		if d.node.PID() != 0 && d.node.Ended() == nil {
			errs = append(errs, d.node.Stop())
		}
		errs = append(errs, d.node.Close())
	}
	return errors.Join(append(errs, d.folder.Remove())...)
}

// isNewcomer reports whether a user wasn't scripted at a given time. The guest is
// scripted until the past and unread messages have been sent.
func (d *demo) isNewcomer(id int64, at time.Time) bool {
	if !d.populated.Load() {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.scripted[id] && (id != d.guest || at.After(d.scriptEnd))
}

// isTurnOf reports whether p replies to message seq of a group.
func (d *demo) isTurnOf(p *person, group, seq int64) bool {
	g := d.groupOf(group)
	return g != nil && g.members[seq%int64(len(g.members))] == p.name
}

// groupOf returns the group with an ID, or nil if it isn't in the script.
func (d *demo) groupOf(id int64) *group {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, g := range d.script.groups {
		if g.id == id {
			return g
		}
	}
	return nil
}

// shouldGreet reports whether p should greet a user who has come online. Only
// the first person greets the guest, and only once.
func (d *demo) shouldGreet(p *person, user int64) bool {
	return d.populated.Load() && user == d.guest && p.name == d.script.people[0] && !d.greeted.Swap(true)
}

// randomSeconds returns a random duration between low and high seconds.
func randomSeconds(low, high float64) time.Duration {
	return time.Duration((low + rand.Float64()*(high-low)) * float64(time.Second))
}

// sleepScaled sleeps for t divided by --speed, or until ctx ends.
func (d *demo) sleepScaled(ctx context.Context, t time.Duration) {
	sleep(ctx, t/time.Duration(d.Speed))
}

// sleep sleeps for t, or until ctx ends.
func sleep(ctx context.Context, t time.Duration) {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
