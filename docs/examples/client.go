// Command client chats with one user. It needs no SDK and follows docs/protocol.md:
//
//	go run client.go HOST:PORT NAME PASSWORD PEER
//
// It sends each line of its input to the user with the ID PEER, and prints the
// messages of their conversation, in order and each one once.
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

type object map[string]any // a frame to the server

type frame struct { // a frame from the server; encoding/json ignores the case of keys
	MsgID, RID, Errno, ID, ToID, Seq, Last, Epoch int64
	Name, Msg, Token, ErrMsg, Reason              string
	Wait                                          time.Duration `json:"retry_after_ms"`
	Messages                                      []frame
}

type chat struct {
	conn           net.Conn
	name           string
	login          object
	me, peer       int64
	epoch          int64  // epoch of the server's database
	have, newest   int64  // we have every message up to this seq; newest known seq
	receipted      int64  // seq of the last RECEIPT on this connection
	ready, syncing bool   // logged in; a SYNC is in flight
	pending        object // our unacknowledged message, if any
}

func (c *chat) send(m object) {
	body, _ := json.Marshal(m)
	c.conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)) // if this fails, receive fails too
}

func receive(conn net.Conn) (m frame, err error) {
	conn.SetReadDeadline(time.Now().Add(45 * time.Second)) // longer than the time between PINGs: without an answer, the connection is dead
	head := make([]byte, 4)
	if _, err = io.ReadFull(conn, head); err != nil {
		return m, err
	}
	body := make([]byte, min(binary.BigEndian.Uint32(head), 512<<10)) // the protocol's maximum
	if _, err = io.ReadFull(conn, body); err == nil {
		err = json.Unmarshal(body, &m)
	}
	return m, err
}

// sync requests the missing messages, unless a SYNC is in flight.
func (c *chat) sync() {
	if !c.syncing {
		c.syncing = true
		c.send(object{"msgid": 21, "peer": c.peer, "after": c.have, "limit": 200})
	}
}

// take prints m if no message before it is missing; otherwise it starts a SYNC.
func (c *chat) take(m frame, gapless bool) {
	c.newest = max(c.newest, m.Seq)
	if m.Seq > c.have && gapless {
		c.have = m.Seq
		fmt.Printf("%d %s %q\n", m.Seq, m.Name, m.Msg)
	} else if m.Seq > c.have {
		c.sync() // its answer includes this message
	}
}

// handle processes a frame from the server. It returns false if the caller must
// reconnect after m.Wait.
func (c *chat) handle(m frame) bool {
	switch {
	case m.MsgID == 2 && m.Errno == 1, m.Reason == "replaced", m.Reason == "logout", m.Reason == "abuse":
		fmt.Println("disconnected:", m.ErrMsg) // LOGIN_ACK, KICK
		os.Exit(1)
	case m.MsgID == 23, m.Errno == 9, m.Errno == 10: // KICK, too fast, unavailable: reconnect and start over
		return false
	case m.MsgID == 18: // PING
		c.send(object{"msgid": 19})
	case m.MsgID == 2: // LOGIN_ACK
		if m.Epoch != c.epoch { // the database was restored: our seqs are invalid
			c.epoch, c.have, c.newest = m.Epoch, 0, 0
		}
		c.me, c.login, c.ready = m.ID, object{"msgid": 1, "token": m.Token, "ack": true, "brief": true}, true
		fmt.Println("logged in as", m.ID)
		c.sync()
		if c.pending != nil {
			c.send(c.pending)
		}
	case m.MsgID == 6 && (m.ID == c.peer && m.ToID == c.me || m.ID == c.me && m.ToID == c.peer): // ONE_CHAT
		c.take(m, m.Seq == c.have+1)
	case m.MsgID == 22: // SYNC_ACK
		for _, missed := range m.Messages {
			c.take(missed, true)
		}
		c.syncing, c.newest = false, max(c.newest, m.Last)
		if m.Errno == 0 && c.have < c.newest {
			c.sync()
		}
	case m.RID == 1 && m.Errno == 0: // ONE_CHAT_ACK: our own messages aren't pushed
		c.take(frame{Seq: m.Seq, Name: c.name, Msg: c.pending["msg"].(string)}, m.Seq == c.have+1)
		c.pending = nil
	case m.RID == 1: // ONE_CHAT_ACK or ERROR: the message was refused
		fmt.Println("refused:", m.ErrMsg)
		c.pending = nil
	}
	if c.ready && c.have > c.receipted {
		c.receipted = c.have
		c.send(object{"msgid": 20, "peer": c.peer, "seq": c.have}) // RECEIPT
	}
	return true
}

// talk serves one connection and returns how long to wait before the next.
func (c *chat) talk(conn net.Conn, lines <-chan string) time.Duration {
	c.conn, c.ready, c.syncing, c.receipted = conn, false, false, 0
	arrived, ping := make(chan frame), time.NewTicker(30*time.Second)
	defer ping.Stop()
	go func() {
		for m, err := receive(conn); err == nil; m, err = receive(conn) {
			arrived <- m
		}
		close(arrived)
	}()
	defer func() {
		conn.Close()
		for range arrived { // wait until the goroutine has ended
		}
	}()
	if c.login["name"] != nil { // REG; errno 1: the name is taken
		c.send(object{"msgid": 4, "name": c.login["name"], "password": c.login["password"]})
	}
	c.send(c.login)
	for {
		typed := lines
		if !c.ready || c.pending != nil {
			typed = nil // one message at a time
		}
		select {
		case m, open := <-arrived:
			if !open || !c.handle(m) {
				return m.Wait * time.Millisecond
			}
		case text := <-typed:
			c.pending = object{"msgid": 6, "rid": 1, "toid": c.peer, "msg": text, "cid": rand.Text()}
			c.send(c.pending)
			c.pending["retry"] = true // it may now get stored: if it is sent again, mark it as a retry
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
		input.Buffer(nil, 1<<30) // allow long lines
		for input.Scan() {
			if len(input.Text()) > 8000 { // this much fits in a frame, whatever the characters
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
