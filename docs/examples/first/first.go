// Command first chats with one user: go run first.go HOST:PORT NAME PASSWORD PEER
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

type object map[string]any // a frame to the server
type frame struct {        // a frame from the server
	MsgID, Errno, ID, ToID, Seq, Last int64
	Name, Msg, ErrMsg                 string
	Messages                          []frame
}

func main() {
	fail := func(why any) { fmt.Fprintln(os.Stderr, why); os.Exit(1) }
	conn, err := net.Dial("tcp", os.Args[1])
	if err != nil {
		fail(err)
	}
	send := func(m object) {
		body, _ := json.Marshal(m)
		conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)) // if this fails, the read fails too
	}
	var peer, me, have, newest, own int64 // have: last seq printed; newest: newest known seq; own: seq of our last message
	fmt.Sscan(os.Args[4], &peer)
	name, password, input, syncing := os.Args[2], os.Args[3], bufio.NewScanner(os.Stdin), true
	input.Buffer(nil, 1<<30) // allow long lines
	say := func() {          // sends the next line of the input
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
		m, body, news := frame{}, make([]byte, size), []frame(nil)
		binary.Read(conn, binary.BigEndian, body)
		json.Unmarshal(body, &m)
		switch op, errno := m.MsgID, m.Errno; {
		case op == 22 && (errno == 0 || errno == 5): // SYNC_ACK; errno 5: there is no such user yet
			syncing, newest, news = false, max(newest, m.Last), m.Messages
		case op == 23, errno != 0 && (op != 5 || errno != 1): // KICK, or any error but REG errno 1 (name taken)
			fail(m.ErrMsg)
		case op == 2: // LOGIN_ACK
			me = m.ID
			fmt.Println("logged in as", me)
			send(object{"msgid": 21, "peer": peer, "after": 0}) // SYNC: request the whole conversation
		case op == 6 && m.ID+m.ToID == me+peer: // ONE_CHAT in this conversation
			if newest = max(newest, m.Seq); m.Seq == have+1 {
				news = []frame{m}
			}
		case op == 12: // ONE_CHAT_ACK: our message is stored
			own, newest = m.Seq, max(newest, m.Seq)
		case op == 18: // PING
			send(object{"msgid": 19})
		case op == 19: // PONG
			time.AfterFunc(30*time.Second, func() { send(object{"msgid": 18}) })
		}
		for _, n := range news {
			if n.Seq > have {
				have = n.Seq
				fmt.Printf("%d %s %q\n", n.Seq, n.Name, n.Msg)
			}
		}
		if newest > have && !syncing {
			syncing = true
			send(object{"msgid": 21, "peer": peer, "after": have}) // SYNC: request missing messages
		} else if len(news) > 0 {
			send(object{"msgid": 20, "peer": peer, "seq": have}) // RECEIPT
		}
		if own <= have && !syncing {
			own = 1 << 62 // until the ACK brings its seq
			go say()
		}
	}
	fail("connection lost")
}
