// Command first talks with one user: go run first.go HOST:PORT NAME PASSWORD PEER
package main

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"time"
)

type object map[string]any // what we say
type message struct {      // what the server says
	MsgID, Errno, ID, ToID, Seq, Last int64
	Name, Msg, ErrMsg                 string
	Messages                          []message
}

func main() {
	fail := func(why any) { fmt.Fprintln(os.Stderr, why); os.Exit(1) }
	conn, err := net.Dial("tcp", os.Args[1])
	if err != nil {
		fail(err)
	}
	send := func(m object) {
		body, _ := json.Marshal(m)
		conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)) // a failure shows in reading
	}
	var peer, me, shown, known, own int64 // shown, known, own: the last seq on the screen, the last there is, that of our line
	fmt.Sscan(os.Args[4], &peer)
	name, password, input, asking := os.Args[2], os.Args[3], bufio.NewScanner(os.Stdin), true
	input.Buffer(nil, 1<<30) // a line may be long
	say := func() {          // the next line
		for input.Scan() {
			if input.Text() != "" {
				send(object{"msgid": 6, "toid": peer, "msg": input.Text(), "cid": rand.Text()}) // ONE_CHAT
				return
			}
		}
		os.Exit(0)
	}
	send(object{"msgid": 4, "name": name, "password": password})                             // REG
	send(object{"msgid": 1, "name": name, "password": password, "ack": true, "brief": true}) // LOGIN
	for size := uint32(0); binary.Read(conn, binary.BigEndian, &size) == nil; {
		m, body, news := message{}, make([]byte, size), []message(nil)
		binary.Read(conn, binary.BigEndian, body)
		json.Unmarshal(body, &m)
		switch op, errno := m.MsgID, m.Errno; {
		case op == 22 && (errno == 0 || errno == 5): // SYNC_ACK; 5: nobody has that id yet
			asking, known, news = false, max(known, m.Last), m.Messages
		case op == 23, errno != 0 && (op != 5 || errno != 1): // KICK, or refused; REG may be: the name is taken
			fail(m.ErrMsg)
		case op == 2: // LOGIN_ACK
			me = m.ID
			fmt.Println("logged in as", me)
			send(object{"msgid": 21, "peer": peer, "after": 0}) // SYNC: what has been said so far
		case op == 6 && m.ID+m.ToID == me+peer: // ONE_CHAT, of this conversation
			if known = max(known, m.Seq); m.Seq == shown+1 {
				news = []message{m}
			}
		case op == 12: // ONE_CHAT_ACK: our line is stored
			own, known = m.Seq, max(known, m.Seq)
		case op == 18: // PING
			send(object{"msgid": 19})
		case op == 19: // PONG
			time.AfterFunc(30*time.Second, func() { send(object{"msgid": 18}) })
		}
		for _, n := range news {
			if n.Seq > shown {
				shown = n.Seq
				fmt.Printf("%d %s %q\n", n.Seq, n.Name, n.Msg)
			}
		}
		if known > shown && !asking {
			asking = true
			send(object{"msgid": 21, "peer": peer, "after": shown}) // SYNC: what is missing
		} else if len(news) > 0 {
			send(object{"msgid": 20, "peer": peer, "seq": shown}) // RECEIPT
		}
		if own <= shown && !asking {
			own = 1 << 62 // until it is stored
			go say()
		}
	}
	fail("the connection is gone")
}
