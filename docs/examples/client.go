// Command client talks with one user on nothing but docs/protocol.md:
//
//	go run client.go HOST:PORT NAME PASSWORD PEER
//
// Each line of its input goes to the user whose id is PEER. What is said in
// their conversation is printed: in its order, each message once.
package main

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"os"
	"strconv"
	"time"
)

type object map[string]any // a message of ours

type message struct { // one of the server's; encoding/json doesn't mind the case of a key
	MsgID, RID, Errno, ID, ToID, Seq, Last, Epoch int64
	Name, Msg, Token, ErrMsg, Reason              string
	Wait                                          time.Duration `json:"retry_after_ms"`
	Messages                                      []message
}

type chat struct {
	conn         net.Conn
	name         string
	login        object
	me, peer     int64
	epoch        int64  // of the server's store
	last, top    int64  // the end of what we have without a gap; the highest seq we know of
	told         int64  // the last RECEIPT on this connection
	ready, asked bool   // logged in; a SYNC is on its way
	unsure       object // our message that isn't acknowledged yet
}

func (c *chat) send(m object) {
	body, _ := json.Marshal(m)
	c.conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)) // a failure shows in receive
}

func receive(conn net.Conn) (m message, err error) {
	conn.SetReadDeadline(time.Now().Add(45 * time.Second)) // it answers each PING, or it is dead
	head := make([]byte, 4)
	if _, err = io.ReadFull(conn, head); err != nil {
		return m, err
	}
	body := make([]byte, min(binary.BigEndian.Uint32(head), 512<<10)) // there are no longer ones
	if _, err = io.ReadFull(conn, body); err == nil {
		err = json.Unmarshal(body, &m)
	}
	return m, err
}

// sync asks for what follows the last one.
func (c *chat) sync() {
	if !c.asked {
		c.asked = true
		c.send(object{"msgid": 21, "peer": c.peer, "after": c.last, "limit": 200})
	}
}

// take shows a message, unless one before it is missing.
func (c *chat) take(m message, gapless bool) {
	c.top = max(c.top, m.Seq)
	if m.Seq > c.last && gapless {
		c.last = m.Seq
		fmt.Printf("%d %s %q\n", m.Seq, m.Name, m.Msg)
	} else if m.Seq > c.last {
		c.sync() // which brings this one too
	}
}

// handle returns false where it is time to hang up and connect again, after m.Wait.
func (c *chat) handle(m message) bool {
	switch {
	case m.MsgID == 2 && m.Errno == 1, m.Reason == "replaced", m.Reason == "logout", m.Reason == "abuse":
		fmt.Println("over:", m.ErrMsg) // LOGIN_ACK, KICK
		os.Exit(1)
	case m.MsgID == 23, m.Errno == 9, m.Errno == 10: // KICK, too fast, unavailable: all of it again, in order, later
		return false
	case m.MsgID == 18: // PING
		c.send(object{"msgid": 19})
	case m.MsgID == 2: // LOGIN_ACK
		if m.Epoch != c.epoch { // from a backup: its messages have other numbers
			c.epoch, c.last, c.top = m.Epoch, 0, 0
		}
		c.me, c.login, c.ready = m.ID, object{"msgid": 1, "token": m.Token, "ack": true, "brief": true}, true
		fmt.Println("logged in as", m.ID)
		c.sync()
		if c.unsure != nil {
			c.send(c.unsure)
		}
	case m.MsgID == 6 && (m.ID == c.peer && m.ToID == c.me || m.ID == c.me && m.ToID == c.peer): // ONE_CHAT
		c.take(m, m.Seq == c.last+1)
	case m.MsgID == 22: // SYNC_ACK
		for _, missed := range m.Messages {
			c.take(missed, true)
		}
		c.asked, c.top = false, max(c.top, m.Last)
		if m.Errno == 0 && c.last < c.top {
			c.sync()
		}
	case m.RID == 1 && m.Errno == 0: // ONE_CHAT_ACK, which stands for the push of our message
		c.take(message{Seq: m.Seq, Name: c.name, Msg: c.unsure["msg"].(string)}, m.Seq == c.last+1)
		c.unsure = nil
	case m.RID == 1: // the same, or ERROR where the decoder refused it
		fmt.Println("refused:", m.ErrMsg)
		c.unsure = nil
	}
	if c.ready && c.last > c.told {
		c.told = c.last
		c.send(object{"msgid": 20, "peer": c.peer, "seq": c.last}) // RECEIPT
	}
	return true
}

// talk lasts as long as a connection, and says how long to wait before the next.
func (c *chat) talk(conn net.Conn, lines <-chan string) time.Duration {
	c.conn, c.ready, c.asked, c.told = conn, false, false, 0
	arrived, ping := make(chan message), time.NewTicker(30*time.Second)
	defer ping.Stop()
	go func() {
		for m, err := receive(conn); err == nil; m, err = receive(conn) {
			arrived <- m
		}
		close(arrived)
	}()
	defer func() {
		conn.Close()
		for range arrived { // until the goroutine has ended
		}
	}()
	if c.login["name"] != nil { // REG; errno 1 where the name is taken
		c.send(object{"msgid": 4, "name": c.login["name"], "password": c.login["password"]})
	}
	c.send(c.login)
	for {
		typed := lines
		if !c.ready || c.unsure != nil {
			typed = nil // one message at a time
		}
		select {
		case m, open := <-arrived:
			if !open || !c.handle(m) {
				return m.Wait * time.Millisecond
			}
		case text := <-typed:
			c.unsure = object{"msgid": 6, "rid": 1, "toid": c.peer, "msg": text, "cid": rand.Text()}
			c.send(c.unsure)
			c.unsure["retry"] = true // from here on it may be stored
		case <-ping.C:
			c.send(object{"msgid": 18})
		}
	}
}

func main() {
	login := object{"msgid": 1, "name": os.Args[2], "password": os.Args[3], "ack": true, "brief": true}
	c, lines := chat{name: os.Args[2], login: login}, make(chan string)
	c.peer, _ = strconv.ParseInt(os.Args[4], 10, 64)
	go func() {
		input := bufio.NewScanner(os.Stdin)
		input.Buffer(nil, 1<<30) // a line may be long
		for input.Scan() {
			if len(input.Text()) > 8000 { // up to here it fits into a frame, whatever is in it
				fmt.Println("too long")
				continue
			}
			lines <- input.Text()
		}
	}()
	for {
		wait := 200*time.Millisecond + mathrand.N(800*time.Millisecond)
		if conn, err := net.Dial("tcp", os.Args[1]); err == nil {
			wait += c.talk(conn, lines)
		}
		time.Sleep(wait)
	}
}
