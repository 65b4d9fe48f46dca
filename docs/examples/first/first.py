"""Chats with one user: python3 first.py HOST:PORT NAME PASSWORD PEER"""
import contextlib, json, math, os, secrets, socket, struct, sys, threading

sys.excepthook = lambda kind, why, trace: (print(why, file=sys.stderr, flush=True), os._exit(1))
sys.stdin.reconfigure(encoding="utf-8", errors="replace")
addr, name, password, peer = *sys.argv[1:4], int(sys.argv[4])
conn, writing = socket.create_connection(addr.rsplit(":", 1)), threading.Lock()
me = have = newest = own = 0  # our ID; last seq printed; newest known seq; seq of our last message
syncing = True  # a SYNC is in flight


def send(**m):
    body = json.dumps(m, ensure_ascii=False).encode()
    with writing, contextlib.suppress(OSError):  # if this fails, the read fails too
        conn.sendall(struct.pack(">I", len(body)) + body)


def say():  # sends the next line of the input
    for line in sys.stdin:
        if msg := line.rstrip("\n"):
            return send(msgid=6, toid=peer, msg=msg, cid=secrets.token_hex(16))  # ONE_CHAT
    os._exit(0)


send(msgid=4, name=name, password=password)  # REG
send(msgid=1, name=name, password=password, ack=True, brief=True)  # LOGIN
send(msgid=18)  # PING
while head := conn.recv(4, socket.MSG_WAITALL):
    m = json.loads(conn.recv(*struct.unpack(">I", head), socket.MSG_WAITALL))
    op, errno, news = m["msgid"], m.get("errno", 0), []
    if op == 22 and errno in (0, 5):  # SYNC_ACK; errno 5: there is no such user yet
        syncing, newest, news = False, max(newest, m.get("last", 0)), m.get("messages", [])
    elif op == 23 or errno and (op, errno) != (5, 1):  # KICK, or any error but REG errno 1 (name taken)
        raise Exception(m["errmsg"])
    elif op == 2:  # LOGIN_ACK
        print("logged in as", me := m["id"], flush=True)
        send(msgid=21, peer=peer, after=0)  # SYNC: request the whole conversation
    elif op == 6 and m["id"] + m["toid"] == me + peer:  # ONE_CHAT in this conversation
        newest, news = max(newest, m["seq"]), [m] if m["seq"] == have + 1 else []
    elif op == 12:  # ONE_CHAT_ACK: our message is stored
        newest = max(newest, own := m["seq"])
    elif op == 18:  # PING
        send(msgid=19)
    elif op == 19:  # PONG
        threading.Timer(30, send, kwargs={"msgid": 18}).start()
    for n in news:
        if n["seq"] > have:
            print(have := n["seq"], n["name"], json.dumps(n["msg"], ensure_ascii=False), flush=True)
    if newest > have and not syncing:
        syncing = True
        send(msgid=21, peer=peer, after=have)  # SYNC: request missing messages
    elif news:
        send(msgid=20, peer=peer, seq=have)  # RECEIPT
    if own <= have and not syncing:
        own = math.inf  # until the ACK brings its seq
        threading.Thread(target=say).start()
raise Exception("connection lost")
