package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"chatd/client"
	"chatd/proto"
)

// An echo: it answers each message, and comes back where it stopped.
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
	// No handler is called before the first login.
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
