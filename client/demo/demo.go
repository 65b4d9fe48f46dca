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

	// Where the demo listens if nobody else does.
	defaultPort, defaultHTTP = 6000, 8080

	pollEvery  = 5 * time.Millisecond   // what the guest has seen
	aliveEvery = 500 * time.Millisecond // whether the server still runs
)

// demo is a server in a folder of its own, and the people who talk there. All
// of it is on the loopback address.
type demo struct {
	options
	script *script
	out    io.Writer // what is said, for who looks on
	outMu  sync.Mutex

	folder *services.Folder
	node   *services.Node
	people map[string]*person // and the guest, as long as it plays along

	unanswered atomic.Uint64 // newcomers' messages beyond maxAsks
	populated  atomic.Bool   // whoever isn't cast is a newcomer
	greeted    atomic.Bool   // the guest has been greeted

	mu        sync.Mutex // guards what follows, and the groups' ids
	scripted  map[int64]bool
	guest     int64
	progress  map[client.Conv]progress // as the guest sees them
	scriptEnd time.Time                // when the script's last line was stored: what the guest says later is a newcomer's
}

// told is how far a conversation has come.
type progress struct{ last, lastByOthers int64 } // seq, and that of the last which the guest hasn't said

// newDemo starts the server and has the people come, make friends and groups,
// and say what was said so far. It blocks for a second or two. A demo that it
// returns has to be ended, beside an error as well.
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

// start starts the server: on the usual ports where they are free and nobody
// has asked for others.
func (d *demo) start(ctx context.Context) (err error) {
	port, http := d.Port, d.HTTP
	if port == 0 && !services.Taken(defaultPort) {
		port = defaultPort
	}
	if http == 0 && !services.Taken(defaultHTTP) {
		http = defaultHTTP
	}
	// Accounts that end with the demo need no costly hashing.
	d.node, err = services.NewNodeAt(d.folder, "demo", d.Chatd, port, http,
		"--node", "demo", "--db", "sqlite:"+filepath.Join(d.folder.Path, "demo.db"), "--argon2", "8,1,1")
	if err != nil {
		return err
	}
	return d.node.Start(ctx)
}

// settle fills the server.
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
				return fmt.Errorf("%s and %s: %w", name, other, err)
			}
		}
	}
	for _, gr := range d.script.groups {
		if err := d.createGroup(ctx, gr); err != nil {
			return fmt.Errorf("%s: %w", gr.name, err)
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

// found makes a group and has its members come.
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

// tell has a part of the script said, as fast as it goes: each place in its
// order, all places at once.
func (d *demo) replay(ctx context.Context, part string) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, scenes := range d.script.scenesByPlace(part) {
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

// note keeps how far the script has been told.
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

// dismissGuest ends the guest's part in the script: it has read what was said
// so far, and leaves its account to whoever comes.
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
	return guest.c.Close() // which sends what has been read
}

// speaker is who says a line, and where that is for them.
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

// live has people talk, answer, come and go until ctx ends. The error says who
// couldn't, or that the server has ended.
func (d *demo) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for i, scenes := range d.script.scenesByPlace(phaseLive) {
		g.Go(func() error {
			// The first ones begin at once, the others one after another.
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

// play plays one scene.
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

// show shows a line to who looks on.
func (d *demo) printLine(sc *scene, l line) {
	where := sc.place
	if sc.group != nil {
		where = sc.group.name
	}
	d.outMu.Lock()
	defer d.outMu.Unlock()
	fmt.Fprintf(d.out, "  %s · %s: %s\n", where, l.who, strings.ReplaceAll(l.text, "\n", " / "))
}

// comeAndGo has one person at a time leave and come back.
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

// end has everybody leave, ends the server and removes its folder.
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

// isNewcomer says whether somebody isn't of the demo, at a time. The guest is
// as far as the script goes.
func (d *demo) isNewcomer(id int64, at time.Time) bool {
	if !d.populated.Load() {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.scripted[id] && (id != d.guest || at.After(d.scriptEnd))
}

// isTurnOf says whether it is for p to answer message seq of a group.
func (d *demo) isTurnOf(p *person, group, seq int64) bool {
	g := d.groupOf(group)
	return g != nil && g.members[seq%int64(len(g.members))] == p.name
}

// groupOf is the group with an id, nil where it is none of the demo's.
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

// greets says whether p is to greet a user who has come: the first of the
// people greets the guest, once.
func (d *demo) shouldGreet(p *person, user int64) bool {
	return d.populated.Load() && user == d.guest && p.name == d.script.people[0] && !d.greeted.Swap(true)
}

// between is some time from low to high, in seconds.
func randomSeconds(low, high float64) time.Duration {
	return time.Duration((low + rand.Float64()*(high-low)) * float64(time.Second))
}

// pause waits as long as people would, or until ctx ends.
func (d *demo) sleepScaled(ctx context.Context, t time.Duration) {
	sleep(ctx, t/time.Duration(d.Speed))
}

func sleep(ctx context.Context, t time.Duration) {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
