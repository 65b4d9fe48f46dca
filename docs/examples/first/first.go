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
	MsgID, Errno, ID, ToID, Seq int64
	Name, Msg, ErrMsg           string
	More                        bool
	Messages                    []message
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
	name, password, held := os.Args[2], os.Args[3], map[int64]message{} // held: what came before its turn
	var peer, me, last, own int64                                       // last: up to there all is on the screen; own: our line's seq
	fmt.Sscan(os.Args[4], &peer)
	mine, shown := make(chan string, 1), make(chan bool)
	say := func() { // the next line when the one before it is on the screen
		for input := bufio.NewScanner(os.Stdin); input.Scan(); {
			if input.Text() != "" {
				mine <- input.Text()
				send(object{"msgid": 6, "toid": peer, "msg": input.Text(), "cid": rand.Text()}) // ONE_CHAT
				<-shown
			}
		}
		os.Exit(0)
	}
	send(object{"msgid": 4, "name": name, "password": password})                             // REG
	send(object{"msgid": 1, "name": name, "password": password, "ack": true, "brief": true}) // LOGIN
	send(object{"msgid": 18})                                                                // PING
	for size := uint32(0); binary.Read(conn, binary.BigEndian, &size) == nil; {
		m, body, news := message{}, make([]byte, size), []message(nil)
		binary.Read(conn, binary.BigEndian, body)
		json.Unmarshal(body, &m)
		switch op, errno := m.MsgID, m.Errno; {
		case op == 22 && (errno == 0 || errno == 5): // SYNC_ACK; 5: nobody has that id yet
			news = m.Messages
		case op == 23, errno != 0 && (op != 5 || errno != 1): // KICK, or refused; REG may be: the name is taken
			fail(m.ErrMsg)
		case op == 2: // LOGIN_ACK
			me = m.ID
			fmt.Println("logged in as", me)
			send(object{"msgid": 21, "peer": peer, "after": 0}) // SYNC: what has been said so far
		case op == 6 && (m.ID == peer && m.ToID == me || m.ID == me && m.ToID == peer): // ONE_CHAT
			news = []message{m}
		case op == 12: // ONE_CHAT_ACK: our line is stored
			own, news = m.Seq, []message{{Seq: m.Seq, Name: name, Msg: <-mine}}
		case op == 18: // PING
			send(object{"msgid": 19})
		case op == 19: // PONG
			time.AfterFunc(30*time.Second, func() { send(object{"msgid": 18}) })
		}
		for _, n := range news {
			held[n.Seq] = n
		}
		before := last
		for ; held[last+1].Seq > 0; last++ {
			n := held[last+1]
			fmt.Printf("%d %s %q\n", n.Seq, n.Name, n.Msg)
		}
		if last > before {
			send(object{"msgid": 20, "peer": peer, "seq": last}) // RECEIPT
		}
		if m.MsgID == 22 && m.More {
			send(object{"msgid": 21, "peer": peer, "after": last})
		} else if m.MsgID == 22 {
			go say()
		}
		if before < own && own <= last {
			shown <- true
		}
	}
	fail("the connection is gone")
}
