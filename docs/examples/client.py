"""Chats with one user. Needs no SDK and follows docs/protocol.md:

    python3 client.py HOST:PORT NAME PASSWORD PEER

It sends each line of its input to the user with the ID PEER, and prints the
messages of their conversation, in order and each one once.
"""
import asyncio, json, os, random, secrets, struct, sys, threading

addr, name, password, peer = *sys.argv[1:4], int(sys.argv[4])
login = {"msgid": 1, "name": name, "password": password, "ack": True, "brief": True}
me = epoch = have = newest = 0  # our ID; epoch of the database; we have every message up to this seq; newest known seq
receipted = 0  # seq of the last RECEIPT on this connection
ready = syncing = inflight = False  # logged in; a SYNC is in flight; pending[0] is in flight
pending = []  # our unacknowledged messages


def send(m):
    body = json.dumps(m, ensure_ascii=False).encode()
    out.write(struct.pack(">I", len(body)) + body)  # if this fails, the read fails too


def sync():  # requests the missing messages, unless a SYNC is in flight
    global syncing
    if not syncing:
        syncing = True
        send({"msgid": 21, "peer": peer, "after": have, "limit": 200})


def take(m, gapless):  # shows m if no message before it is missing; otherwise starts a SYNC
    global have, newest
    newest = max(newest, m["seq"])
    if m["seq"] > have and gapless:
        have = m["seq"]
        print(have, m["name"], json.dumps(m["msg"], ensure_ascii=False), flush=True)
    elif m["seq"] > have:
        sync()  # its answer includes this message


def say():  # sends the next message if none is in flight
    global inflight
    if ready and pending and not inflight:
        inflight = True
        send(pending[0])
        pending[0]["retry"] = True  # it may now get stored: if it is sent again, mark it as a retry


def handle(m):  # returns how many milliseconds to wait before reconnecting, or None to go on
    global me, login, epoch, have, newest, receipted, ready, syncing, inflight
    op, errno = m["msgid"], m.get("errno", 0)
    if op == 2 and errno == 1 or op == 23 and m["reason"] in ("replaced", "logout", "abuse"):
        print("disconnected:", m["errmsg"], flush=True)  # LOGIN_ACK, KICK
        os._exit(1)  # also ends the input thread
    if errno in (9, 10) or op == 23:  # too fast, unavailable, KICK: reconnect and start over
        return m.get("retry_after_ms", 0)
    if op == 18:  # PING
        send({"msgid": 19})
    elif op == 2:  # LOGIN_ACK
        if m["epoch"] != epoch:  # the database was restored: our seqs are invalid
            epoch, have, newest = m["epoch"], 0, 0
        login, ready = {"msgid": 1, "token": m["token"], "ack": True, "brief": True}, True
        print("logged in as", me := m["id"], flush=True)
        sync()
        say()
    elif op == 6 and peer == (m["toid"] if m["id"] == me else m["id"]):  # ONE_CHAT
        take(m, m["seq"] == have + 1)
    elif op == 22:  # SYNC_ACK
        for missed in m.get("messages", []):
            take(missed, True)
        syncing, newest = False, max(newest, m.get("last", 0))
        if errno == 0 and have < newest:
            sync()
    elif m.get("rid") == 1:  # ONE_CHAT_ACK, or ERROR if the message was invalid
        own, inflight = pending.pop(0), False
        if errno == 0:  # our own messages aren't pushed
            take({**own, "name": name, "seq": m["seq"]}, m["seq"] == have + 1)
        else:
            print("refused:", m["errmsg"], flush=True)
        say()
    if ready and have > receipted:
        receipted = have
        send({"msgid": 20, "peer": peer, "seq": have})  # RECEIPT


async def talk():  # serves one connection; returns like handle
    global out, receipted, syncing, inflight, ready
    reader, out = await asyncio.open_connection(*addr.rsplit(":", 1))
    try:
        receipted, syncing, inflight = 0, False, False
        if "name" in login:
            send({"msgid": 4, "name": name, "password": password})  # REG; errno 1: the name is taken
        send(login)
        wait = None
        while wait is None:
            head = await asyncio.wait_for(reader.readexactly(4), 45)  # longer than the time between PINGs: without an answer, the connection is dead
            wait = handle(json.loads(await reader.readexactly(struct.unpack(">I", head)[0])))
        return wait
    finally:
        ready = False
        out.close()


def typed(text):
    if len(text) > 8000:  # this much fits in a frame, whatever the characters
        return print("too long", flush=True)
    pending.append({"msgid": 6, "rid": 1, "toid": peer, "msg": text, "cid": secrets.token_hex(16)})
    say()


def listen(loop):  # runs in a thread, because asyncio can't read from files
    sys.stdin.reconfigure(encoding="utf-8", errors="replace")
    for line in sys.stdin:
        loop.call_soon_threadsafe(typed, line.rstrip("\n"))


async def ping():
    while True:
        await asyncio.sleep(30)
        if ready:
            send({"msgid": 18})


async def main():
    threading.Thread(target=listen, args=[asyncio.get_running_loop()], daemon=True).start()
    pinging = asyncio.create_task(ping())
    while not pinging.done():
        try:
            wait = await talk()
        except (OSError, EOFError, asyncio.TimeoutError):
            wait = 0
        await asyncio.sleep(wait / 1000 + random.uniform(0.2, 1))


asyncio.run(main())
