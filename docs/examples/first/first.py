"""Talks with one user: python3 first.py HOST:PORT NAME PASSWORD PEER"""
import contextlib, json, os, secrets, socket, struct, sys, threading

sys.excepthook = lambda kind, why, trace: (print(why, file=sys.stderr, flush=True), os._exit(1))
sys.stdin.reconfigure(encoding="utf-8", errors="replace")
addr, name, password, peer = *sys.argv[1:4], int(sys.argv[4])
conn = socket.create_connection(addr.rsplit(":", 1))
writing, shown = threading.Lock(), threading.Semaphore(0)
me = last = own = 0  # our id; up to this seq all is on the screen; the seq of our line
mine, held = "", {}  # our line on its way; what came before its turn, by seq


def send(**m):
    body = json.dumps(m, ensure_ascii=False).encode()
    with writing, contextlib.suppress(OSError):  # a failure shows in reading
        conn.sendall(struct.pack(">I", len(body)) + body)


def say():  # the next line when the one before it is on the screen
    global mine
    for line in sys.stdin:
        if mine := line.rstrip("\n"):
            send(msgid=6, toid=peer, msg=mine, cid=secrets.token_hex(16))  # ONE_CHAT
            shown.acquire()
    os._exit(0)


send(msgid=4, name=name, password=password)  # REG
send(msgid=1, name=name, password=password, ack=True, brief=True)  # LOGIN
send(msgid=18)  # PING
while head := conn.recv(4, socket.MSG_WAITALL):
    m = json.loads(conn.recv(*struct.unpack(">I", head), socket.MSG_WAITALL))
    op, errno, news, before = m["msgid"], m.get("errno", 0), [], last
    if op == 22 and errno in (0, 5):  # SYNC_ACK; 5: nobody has that id yet
        news = m.get("messages", [])
    elif op == 23 or errno and (op, errno) != (5, 1):  # KICK, or refused; REG may be: the name is taken
        raise Exception(m["errmsg"])
    elif op == 2:  # LOGIN_ACK
        print("logged in as", me := m["id"], flush=True)
        send(msgid=21, peer=peer, after=0)  # SYNC: what has been said so far
    elif op == 6 and peer == (m["toid"] if m["id"] == me else m["id"]):  # ONE_CHAT
        news = [m]
    elif op == 12:  # ONE_CHAT_ACK: our line is stored
        own, news = m["seq"], [{"seq": m["seq"], "name": name, "msg": mine}]
    elif op == 18:  # PING
        send(msgid=19)
    elif op == 19:  # PONG
        threading.Timer(30, send, kwargs={"msgid": 18}).start()
    held.update((n["seq"], n) for n in news)
    while n := held.get(last + 1):
        last += 1
        print(last, n["name"], json.dumps(n["msg"], ensure_ascii=False), flush=True)
    if last > before:
        send(msgid=20, peer=peer, seq=last)  # RECEIPT
    if op == 22:
        send(msgid=21, peer=peer, after=last) if m.get("more") else threading.Thread(target=say).start()
    if before < own <= last:
        shown.release()
raise Exception("the connection is gone")
