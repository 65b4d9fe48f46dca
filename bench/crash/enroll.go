package crash

import (
	"context"
	"errors"
	"fmt"
	"time"

	"chatd/client"
	"chatd/proto"
)

// enroll makes the users, their groups, and their devices.
func (r *run) enroll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	r.cast = &cast{ways: make(map[way]int)}
	var groups []int64
	for i := range r.cfg.Users {
		p := &person{name: fmt.Sprint("user ", string(rune('a'+i%26)), i), password: fmt.Sprintf("password %d", i)}
		c, err := client.New(client.Config{Addrs: []string{r.stage.nodes[0].Addr()}, Device: "first"})
		if err != nil {
			return err
		}
		if p.id, err = c.Register(ctx, p.name, p.password); err == nil {
			err = c.Login(ctx, p.name, p.password)
		}
		if err == nil && i%groupSize == 0 {
			var g int64
			g, err = c.CreateGroup(ctx, fmt.Sprint("group ", i/groupSize), "")
			groups = append(groups, g)
		}
		// Of the group that it belongs to, and every other user of the one before as well.
		for k := len(groups) - 1; err == nil && k >= max(0, len(groups)-1-i%2); k-- {
			_, err = c.JoinGroup(ctx, groups[k])
			var already *proto.Error
			if errors.As(err, &already) && already.Errno == proto.AlreadySo {
				err = nil
			}
			r.joins(groups[k], i)
		}
		r.cast.people = append(r.cast.people, p)
		if err = errors.Join(err, c.Close()); err != nil {
			return err
		}
	}
	n := r.cfg.Users
	for i := range n {
		for _, j := range []int{(i + 1) % n, (i + 2) % n} {
			r.pair(i, j)
		}
		if i%5 == 0 {
			r.pair(i, i)
		}
	}
	each := phones + 1
	every := time.Duration(float64(n*phones) / float64(r.cfg.Rate) * float64(time.Second))
	for i := range n * each {
		user, k := i/each, i%each
		addr := r.stage.front[i%len(r.stage.front)].addr()
		talks := k < phones
		j := newJournal(i, user, fmt.Sprintf("%s's %s", r.cast.people[user].name, []string{"phone", "tablet", "watch"}[k]), talks, len(r.cast.convs), r.began)
		if talks {
			t := newTalker(j, r.cast, addr, every, random(r.cfg.Seed, uint64(i+1)))
			t.silent.Store(true)
			r.devices = append(r.devices, t)
		} else {
			r.devices = append(r.devices, newWatcher(j, r.cast, addr))
		}
	}
	return nil
}

func (r *run) joins(group int64, user int) {
	for i := range r.cast.convs {
		if c := &r.cast.convs[i]; c.group == group {
			c.members = append(c.members, user)
			return
		}
	}
	r.cast.ways[way{group: group}] = len(r.cast.convs)
	r.cast.convs = append(r.cast.convs, conv{name: fmt.Sprint("group ", group), group: group, members: []int{user}})
}

func (r *run) pair(i, j int) {
	w := wayOf(0, r.cast.people[i].id, r.cast.people[j].id)
	if _, there := r.cast.ways[w]; there {
		return
	}
	c := conv{name: r.cast.people[i].name + " and " + r.cast.people[j].name, members: []int{i, j}}
	if i == j {
		c.name, c.members = "notes of "+r.cast.people[i].name, []int{i}
	}
	r.cast.ways[w] = len(r.cast.convs)
	r.cast.convs = append(r.cast.convs, c)
}
