package crash

import (
	"context"
	"errors"
	"fmt"
	"time"

	"chatd/client"
	"chatd/proto"
)

// setUp registers the users and creates groups and devices.
func (r *run) setUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	r.directory = &directory{byKey: make(map[convKey]int)}
	var groups []int64
	for i := range r.cfg.Users {
		p := &user{name: fmt.Sprint("user ", string(rune('a'+i%26)), i), password: fmt.Sprintf("password %d", i)}
		c, err := client.New(client.Config{Addrs: []string{r.cluster.nodes[0].Addr()}, Device: "first"})
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
		// Every user is in the current group, and every other one in the group
		// before.
		for k := len(groups) - 1; err == nil && k >= max(0, len(groups)-1-i%2); k-- {
			_, err = c.JoinGroup(ctx, groups[k])
			var already *proto.Error
			if errors.As(err, &already) && already.Errno == proto.AlreadySo {
				err = nil
			}
			r.addToGroup(groups[k], i)
		}
		r.directory.users = append(r.directory.users, p)
		if err = errors.Join(err, c.Close()); err != nil {
			return err
		}
	}
	n := r.cfg.Users
	for i := range n {
		for _, j := range []int{(i + 1) % n, (i + 2) % n} {
			r.addPair(i, j)
		}
		if i%5 == 0 {
			r.addPair(i, i)
		}
	}
	each := sendersPerUser + 1
	every := time.Duration(float64(n*sendersPerUser) / float64(r.cfg.Rate) * float64(time.Second))
	for i := range n * each {
		user, k := i/each, i%each
		addr := r.cluster.frontLinks[i%len(r.cluster.frontLinks)].addr()
		sends := k < sendersPerUser
		j := newJournal(i, user, fmt.Sprintf("%s's %s", r.directory.users[user].name, []string{"phone", "tablet", "watch"}[k]), sends, len(r.directory.convs), r.began)
		if sends {
			d := newSender(j, r.directory, addr, every, random(r.cfg.Seed, uint64(i+1)))
			d.silent.Store(true)
			r.devices = append(r.devices, d)
		} else {
			r.devices = append(r.devices, newReceiver(j, r.directory, addr))
		}
	}
	return nil
}

func (r *run) addToGroup(group int64, user int) {
	for i := range r.directory.convs {
		if c := &r.directory.convs[i]; c.group == group {
			c.members = append(c.members, user)
			return
		}
	}
	r.directory.byKey[convKey{group: group}] = len(r.directory.convs)
	r.directory.convs = append(r.directory.convs, conv{name: fmt.Sprint("group ", group), group: group, members: []int{user}})
}

func (r *run) addPair(i, j int) {
	w := newConvKey(0, r.directory.users[i].id, r.directory.users[j].id)
	if _, there := r.directory.byKey[w]; there {
		return
	}
	c := conv{name: r.directory.users[i].name + " and " + r.directory.users[j].name, members: []int{i, j}}
	if i == j {
		c.name, c.members = "notes of "+r.directory.users[i].name, []int{i}
	}
	r.directory.byKey[w] = len(r.directory.convs)
	r.directory.convs = append(r.directory.convs, c)
}
