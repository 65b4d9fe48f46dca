package client_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"chatd/client"
	"chatd/proto"
)

// An echo bot: it answers each message, and continues where it stopped after a
// restart.
func Example() {
	var c *client.Client
	c, err := client.New(client.Config{
		Addrs:  []string{"127.0.0.1:6000"},
		Device: "echo",
		State:  client.FileStore{Path: "echo.state"},
		Handlers: client.Handlers{
			Message: func(m client.Message) {
				if me, _ := c.Me(); m.From == me {
					return
				}
				err := c.SendAsync(m.Conv, m.Text, func(r client.Receipt, err error) {
					if err != nil {
						log.Print(err)
					}
				})
				if err != nil {
					log.Print(err)
				}
			},
			State: func(s client.StateChange) { log.Print(s.State, s.Err) },
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	// No handler is called before the first login, so c is set when they run.
	defer c.Close()

	ctx := context.Background()
	err = c.Resume(ctx)
	if refused := new(proto.Error); errors.Is(err, client.ErrNoToken) || errors.As(err, &refused) {
		err = c.Login(ctx, "echo", "secret")
	}
	if err != nil {
		log.Fatal(err)
	}
	receipt, err := c.Send(ctx, client.User(1), "I am here")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("stored as", receipt.Seq)
}

// The shortest program; docs/clients.md shows it.
func Example_short() {
	if err := hello(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func hello(ctx context.Context) error {
	c, err := client.New(client.Config{
		Addrs: []string{"127.0.0.1:6000"},
		State: client.FileStore{Path: "ann.state"}, // keeps token and progress between runs
		Handlers: client.Handlers{
			Message: func(m client.Message) { fmt.Printf("%s: %q\n", m.Name, m.Text) },
		},
	})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Login(ctx, "ann", "secret-1"); err != nil {
		return err
	}
	receipt, err := c.Send(ctx, client.User(2), "hello") // returns when the message is stored
	if err != nil {
		return err
	}
	fmt.Println("stored as", receipt.Seq)
	return nil
}

// A configuration with several servers, TLS, saved state and logging.
func ExampleNew() {
	c, err := client.New(client.Config{
		Addrs:    []string{"chat-1.example.com:6000", "chat-2.example.com:6000"}, // tried in turn
		TLS:      &tls.Config{ServerName: "chat.example.com"},                    // if nginx terminates TLS; plain TCP without it
		Device:   "phone",                                                        // each device gets every message
		State:    client.FileStore{Path: "/var/lib/app/chat.state"},              // keeps token and progress between runs
		Logger:   slog.Default(),
		Handlers: client.Handlers{Message: func(m client.Message) { fmt.Printf("%s: %q\n", m.Name, m.Text) }},
	})
	if errors.Is(err, client.ErrBadState) {
		log.Fatal("delete the file and log in with the password: ", err)
	}
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
}

// A user registers, logs in and logs out.
func ExampleClient_Register() {
	s := newServer()
	defer s.Close()
	ctx := context.Background()

	c, err := client.New(client.Config{Addrs: []string{s.addr}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	id, err := c.Register(ctx, "zoe", "secret-1")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("registered as user %d, now %s\n", id, c.State())
	if _, err := c.RegisterWithCode(ctx, "ann", "secret-1", "an invitation code"); err != nil {
		fmt.Println(err)
	}

	if err := c.Login(ctx, "zoe", "secret-1"); err != nil { // or with her ID
		log.Fatal(err)
	}
	id, name := c.Me()
	fmt.Printf("logged in as %s, user %d: %t\n", name, id, c.State() == client.LoggedIn)
	fmt.Println("anyone may register:", slices.Contains(c.Features(), proto.FeatureRegister))
	if err := c.Logout(ctx); err != nil { // revokes the token as well
		log.Fatal(err)
	}
	_, err = c.Send(ctx, client.User(1), "hello")
	fmt.Println(err, errors.Is(err, client.ErrNotLoggedIn))
	// Output:
	// registered as user 4, now connected
	// the name is taken; choose another one (errno 1)
	// logged in as zoe, user 4: true
	// anyone may register: true
	// client: not logged in true
}

// After a restart, a program logs in without a password.
func ExampleClient_Resume() {
	s := newServer()
	defer s.Close()
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	file := client.FileStore{Path: filepath.Join(dir, "ann.state")}

	for range 2 {
		c, err := client.New(client.Config{Addrs: []string{s.addr}, State: file})
		if err != nil {
			log.Fatal(err)
		}
		err = c.Resume(ctx)
		var refused *proto.Error
		if errors.Is(err, client.ErrNoToken) || errors.As(err, &refused) && refused.Errno == proto.Refused {
			fmt.Println("password needed")
			err = c.Login(ctx, "ann", "secret-1")
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(c.State())
		if err := c.Close(); err != nil { // saves the state
			log.Fatal(err)
		}
	}
	saved, err := file.Load()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("saved: user %s, device %s\n", saved.Name, saved.Device)
	// Output:
	// password needed
	// logged in
	// logged in
	// saved: user ann, device default
}

// Log in with a token that the application stores itself.
func ExampleClient_LoginToken() {
	s := newServer()
	defer s.Close()
	ctx := context.Background()

	c := s.login("ann", client.Handlers{})
	token := c.Token() // keep it secret: it replaces the password
	c.Close()

	c, err := client.New(client.Config{Addrs: []string{s.addr}, Brief: true}) // don't load friends and groups
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if err := c.LoginToken(ctx, token); err != nil {
		log.Fatal(err)
	}
	_, name := c.Me()
	fmt.Println(name)
	// Output: ann
}

// When Send returns, the message is stored.
func ExampleClient_Send() {
	s := newServer()
	defer s.Close()
	ann := s.login("ann", client.Handlers{})
	defer ann.Close()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	receipt, err := ann.Send(ctx, client.User(2), "hello")
	var refused *proto.Error
	switch {
	case errors.As(err, &refused) && refused.Errno == proto.NotAllowed:
		fmt.Println("ben has blocked us")
	case errors.Is(err, client.ErrOutboxFull):
		fmt.Println("too many messages are waiting; retry later")
	case errors.Is(err, context.DeadlineExceeded):
		fmt.Println("not confirmed: it may be stored, now or later")
	case err != nil:
		log.Fatal(err)
	default:
		fmt.Println("stored as", receipt.Seq, "at", receipt.Time.UTC().Format(time.DateOnly))
	}
	// Output: stored as 1 at 2023-11-14
}

// Send many messages without waiting for each one; they keep their order.
func ExampleClient_SendAsync() {
	s := newServer()
	defer s.Close()
	ann := s.login("ann", client.Handlers{})
	defer ann.Close()

	for i := range 3 {
		err := ann.SendAsync(client.User(2), fmt.Sprint("line ", i), func(r client.Receipt, err error) {
			if err != nil { // such as ErrLoggedOut or ErrClosed
				log.Print(err)
				return
			}
			fmt.Println("stored as", r.Seq)
		})
		if err != nil { // nothing was queued, and the callback won't be called
			log.Fatal(err)
		}
	}
	if err := ann.Flush(context.Background()); err != nil {
		log.Fatal(err)
	}
	report := func(s client.Stats) { fmt.Println(s.Sent, "sent,", s.Acked, "acknowledged,", s.Repeated, "resent") }
	report(ann.Stats())
	// Output:
	// stored as 1
	// stored as 2
	// stored as 3
	// 3 sent, 3 acknowledged, 0 resent
}

// Handlers are called for what other users do, one at a time.
func ExampleHandlers() {
	s := newServer()
	defer s.Close()
	ctx := context.Background()

	read, done := make(chan client.Read, 1), make(chan bool)
	ann := s.login("ann", client.Handlers{
		Read: func(r client.Read) { read <- r },
		Message: func(m client.Message) {
			fmt.Printf("ann got %q from %s (seq %d, %s)\n", m.Text, m.Name, m.Seq, m.Conv)
			done <- true
		},
	})
	defer ann.Close()
	ben := s.login("ben", client.Handlers{
		Event: func(e client.Event) { fmt.Printf("event from %s: %s %q\n", e.Name, e.Kind, e.Data) },
		Message: func(m client.Message) {
			fmt.Printf("ben got %q\n", m.Text)
			done <- true
		},
	})
	defer ben.Close()

	if err := ann.Typing(client.User(2)); err != nil { // the same as Tell(…, "typing", "")
		log.Fatal(err)
	}
	if err := ann.Tell(client.User(2), "mood", "fine"); err != nil {
		log.Fatal(err)
	}
	receipt, err := ann.Send(ctx, client.User(2), "hello")
	if err != nil {
		log.Fatal(err)
	}
	<-done
	ben.MarkRead(client.User(1), receipt.Seq)
	r := <-read
	fmt.Printf("user %d has read %s up to seq %d\n", r.User, r.Conv, r.Seq)

	if _, err := ben.Send(ctx, client.User(1), "hello yourself"); err != nil {
		log.Fatal(err)
	}
	<-done
	// Output:
	// event from ann: typing ""
	// event from ann: mood "fine"
	// ben got "hello"
	// user 2 has read user 2 up to seq 1
	// ann got "hello yourself" from ben (seq 2, user 2)
}

// Missed messages come with the login. Handled waits until the handlers have
// processed them.
func ExampleClient_Handled() {
	s := newServer()
	defer s.Close()
	ctx := context.Background()
	ann := s.login("ann", client.Handlers{})
	defer ann.Close()
	if _, err := ann.Send(ctx, client.User(2), "are you there?"); err != nil {
		log.Fatal(err)
	}

	ben := s.login("ben", client.Handlers{Message: func(m client.Message) { fmt.Printf("%q, missed: %v\n", m.Text, m.Backlog) }})
	defer ben.Close()
	if err := ben.Handled(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("done")
	// Output:
	// "are you there?", missed: true
	// done
}

// Friends see each other's presence.
func ExampleClient_AddFriend() {
	s := newServer()
	defer s.Close()
	ctx := context.Background()
	presence := make(chan client.Presence, 2)
	ann := s.login("ann", client.Handlers{Presence: func(p client.Presence) { presence <- p }})
	defer ann.Close()

	found, err := ann.FindUser(ctx, "ben") // or "2"
	if err != nil {
		log.Fatal(err)
	}
	friend, err := ann.AddFriend(ctx, found.ID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(friend.Name, "is", friend.State)

	ben := s.login("ben", client.Handlers{})
	defer ben.Close()
	p := <-presence
	fmt.Printf("user %d online: %t\n", p.User, p.Online)
	for _, f := range ann.Friends() {
		fmt.Printf("friend %d: %s, %s\n", f.ID, f.Name, f.State)
	}

	if err := ann.DelFriend(ctx, friend.ID); err != nil {
		log.Fatal(err)
	}
	if err := ann.Block(ctx, friend.ID, true); err != nil {
		log.Fatal(err)
	}
	var refused *proto.Error
	if _, err := ben.AddFriend(ctx, 1); errors.As(err, &refused) {
		fmt.Println(refused.Message, refused.Errno == proto.NotAllowed)
	}
	// Output:
	// ben is offline
	// user 2 online: true
	// friend 2: ben, online
	// user 1 has blocked you true
}

// Create, use and dismiss a group.
func ExampleClient_CreateGroup() {
	s := newServer()
	defer s.Close()
	ctx := context.Background()
	ann := s.login("ann", client.Handlers{})
	defer ann.Close()
	said := make(chan string)
	ben := s.login("ben", client.Handlers{Message: func(m client.Message) { said <- fmt.Sprintf("%s in %s: %q", m.Name, m.Conv, m.Text) }})
	defer ben.Close()
	eve := s.login("eve", client.Handlers{})
	defer eve.Close()

	tea, err := ann.CreateGroup(ctx, "tea", "what we drink")
	if err != nil {
		log.Fatal(err)
	}
	for _, c := range []*client.Client{ben, eve} {
		if _, err := c.JoinGroup(ctx, tea); err != nil {
			log.Fatal(err)
		}
	}
	if _, err := ann.Send(ctx, client.Group(tea), "green or black?"); err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-said)

	for m, err := range ann.GroupUsers(ctx, tea) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(m.ID, m.Name, m.Role)
	}
	if err := ann.KickMember(ctx, tea, 3); err != nil {
		log.Fatal(err)
	}
	if err := ben.LeaveGroup(ctx, tea); err != nil {
		log.Fatal(err)
	}
	if err := ann.LeaveGroup(ctx, tea); err != nil {
		fmt.Println(err)
	}
	if err := ann.DismissGroup(ctx, tea); err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(ann.Groups()), "groups")
	// Output:
	// ann in group 1: "green or black?"
	// 1 ann creator
	// 2 ben normal
	// 3 eve normal
	// you can't leave group 1: you are not a member, or you created it and can only delete it (errno 6)
	// 0 groups
}

// Read the history, starting with the latest conversation.
func ExampleClient_History() {
	s := newServer()
	defer s.Close()
	ctx := context.Background()
	ann := s.login("ann", client.Handlers{})
	defer ann.Close()
	for _, text := range []string{"one", "two", "three"} {
		if _, err := ann.Send(ctx, client.User(2), text); err != nil {
			log.Fatal(err)
		}
	}

	list, more, err := ann.Conversations(ctx, 0, 20)
	if err != nil {
		log.Fatal(err)
	}
	for _, c := range list {
		fmt.Printf("%s: %d unread, last message %q, more: %t\n", c.Name, c.Last-c.Read, c.Message.Msg, more)
	}
	for before := int64(0); ; {
		var page client.Page
		if page, err = ann.History(ctx, client.User(2), before, 2); err != nil {
			log.Fatal(err)
		}
		for _, m := range page.Messages {
			fmt.Println(m.Seq, m.Text)
		}
		if !page.More {
			break
		}
		before = page.Messages[0].Seq
	}
	// Output:
	// ben: 3 unread, last message "three", more: false
	// 2 two
	// 3 three
	// 1 one
}

// Change the password. This logs out all other devices.
func ExampleClient_ChangePassword() {
	s := newServer()
	defer s.Close()
	ctx := context.Background()
	ann := s.login("ann", client.Handlers{})
	defer ann.Close()

	before := ann.Token()
	var refused *proto.Error
	if err := ann.ChangePassword(ctx, "secret-2", "a better one"); errors.As(err, &refused) {
		fmt.Println(refused.Message)
	}
	if err := ann.ChangePassword(ctx, "secret-1", "a better one"); err != nil {
		log.Fatal(err)
	}
	fmt.Println("new token:", ann.Token() != before) // other devices are logged out
	// Output:
	// wrong ID, name, password or token
	// new token: true
}

// A StateChange says why the connection ended, and whether the client
// reconnects.
func ExampleStateChange() {
	s := newServer()
	defer s.Close()
	final := make(chan client.StateChange, 1)
	show := func(s client.State) { fmt.Println(s.String()) }
	ann := s.login("ann", client.Handlers{State: func(c client.StateChange) {
		switch c.State {
		case client.Disconnected:
			if c.Final {
				final <- c // otherwise the client reconnects after c.Retry
			}
		case client.Connected, client.LoggedIn:
			show(c.State)
		}
	}})
	defer ann.Close()

	s.kick("ann", proto.Replaced) // as if the same device had logged in elsewhere
	c := <-final
	var kick *client.KickError
	if errors.As(c.Err, &kick) {
		fmt.Println(kick.Reason, kick.RetryAfter)
		fmt.Println(kick.Is(client.ErrReplaced), kick.Error())
	}
	// Output:
	// connected
	// logged in
	// replaced 0s
	// true client: the server closed the connection: a later login with the same device name has replaced this session (replaced)
}

// A Change reports what others did to friends and groups. Friends and Groups
// already include it.
func ExampleChange() {
	means := map[client.ChangeKind]string{
		client.FriendAdded:    "is now a friend",
		client.FriendRemoved:  "is no longer a friend",
		client.MemberJoined:   "joined a group",
		client.MemberLeft:     "left a group or was removed",
		client.GroupDismissed: "group dismissed",
		client.UserBlocked:    "was blocked on another device",
		client.UserUnblocked:  "was unblocked on another device",
	}
	tell := func(c client.Change) { fmt.Println("user", c.User, means[c.Kind]) }
	s := newServer()
	defer s.Close()
	changes := make(chan client.Change, 1)
	ann := s.login("ann", client.Handlers{Change: func(c client.Change) { changes <- c }})
	defer ann.Close()
	ben := s.login("ben", client.Handlers{})
	defer ben.Close()

	if _, err := ben.AddFriend(context.Background(), 1); err != nil {
		log.Fatal(err)
	}
	tell(<-changes)
	if err := ben.DelFriend(context.Background(), 1); err != nil {
		log.Fatal(err)
	}
	tell(<-changes)
	// Output:
	// user 2 is now a friend
	// user 2 is no longer a friend
}

// A Conv can be the key of a map, and be saved in JSON.
func ExampleConv() {
	unread := map[client.Conv]int{client.User(7): 2, client.Group(3): 1}
	text, err := json.Marshal(unread)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(text))

	key, err := client.Group(3).MarshalText()
	if err != nil {
		log.Fatal(err)
	}
	var conv client.Conv
	if err := conv.UnmarshalText(key); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s is %s, %d unread\n", key, conv, unread[conv])
	fmt.Println(conv.UnmarshalText([]byte("x9")))
	// Output:
	// {"g3":1,"u7":2}
	// g3 is group 3, 1 unread
	// client: invalid conversation "x9"
}

// memory is a Store that keeps the state in memory.
type memory struct{ saved *client.Saved }

func (m *memory) Load() (*client.Saved, error) { return m.saved, nil }
func (m *memory) Save(s *client.Saved) error   { m.saved = s; return nil }

// A client's state can be stored anywhere.
func ExampleStore() {
	s := newServer()
	defer s.Close()
	var store client.Store = &memory{}
	c, err := client.New(client.Config{Addrs: []string{s.addr}, State: store})
	if err != nil {
		log.Fatal(err)
	}
	if err := c.Login(context.Background(), "ann", "secret-1"); err != nil {
		log.Fatal(err)
	}
	if err := c.Close(); err != nil { // saves the state
		log.Fatal(err)
	}
	saved, err := store.Load()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(saved.User, saved.Name, saved.Token != "")
	saved.Last[client.User(2)] = 17 // the next run won't get the messages up to seq 17
	fmt.Println(store.Save(saved))
	// Output:
	// 1 ann true
	// <nil>
}

// The file is replaced atomically, and only its owner can read it.
func ExampleFileStore() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	file := client.FileStore{Path: filepath.Join(dir, "state")}
	none, err := file.Load()
	fmt.Println(none, err)
	if err := file.Save(&client.Saved{User: 1, Name: "ann"}); err != nil {
		log.Fatal(err)
	}
	info, err := os.Stat(file.Path)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(info.Mode())
	// Output:
	// <nil> <nil>
	// -rw-------
}

// The error says whether and when to retry.
func Example_errors() {
	retry := func(err error) string {
		var refused *proto.Error
		switch {
		case errors.As(err, &refused) && refused.Errno == proto.TooFast:
			return "after " + refused.RetryAfter.String()
		case errors.As(err, &refused) && refused.Errno == proto.Unavailable, errors.Is(err, client.ErrBusy):
			return "in a moment"
		case errors.Is(err, client.ErrNotConnected):
			return "after the reconnect; the request may have been executed"
		case errors.Is(err, client.ErrNotLoggedIn), errors.Is(err, client.ErrLoggedOut), errors.Is(err, client.ErrClosed):
			return "after a login"
		}
		return "never: " + err.Error()
	}
	fmt.Println(retry(&proto.Error{Errno: proto.TooFast, RetryAfter: 2 * time.Second}))
	fmt.Println(retry(client.ErrNotConnected))
	fmt.Println(retry(&proto.Error{Errno: proto.NotFound, Message: "no group has the ID 3"}))
	// Output:
	// after 2s
	// after the reconnect; the request may have been executed
	// never: no group has the ID 3 (errno 5)
}
