"""Talks with one user on nothing but docs/protocol.md:

    python3 client.py HOST:PORT NAME PASSWORD PEER

Each line of its input goes to the user whose id is PEER. What is said in
their conversation is printed: in its order, each message once.
"""
import asyncio, json, os, random, secrets, struct, sys, threading

addr, name, password, peer = *sys.argv[1:4], int(sys.argv[4])
login = {"msgid": 1, "name": name, "password": password, "ack": True, "brief": True}
me = epoch = last = top = 0  # our id; of the store; the end of what we have without a gap; the highest seq we know of
told = 0  # the last RECEIPT on this connection
ready = asked = busy = False  # logged in; a SYNC is on its way; so is unsure[0]
unsure = []  # our messages that aren't acknowledged yet


def send(m):
    body = json.dumps(m, ensure_ascii=False).encode()
    out.write(struct.pack(">I", len(body)) + body)  # a failure shows in reading


def sync():  # asks for what follows the last one
    global asked
    if not asked:
        asked = True
        send({"msgid": 21, "peer": peer, "after": last, "limit": 200})


def take(m, gapless):  # shows a message, unless one before it is missing
    global last, top
    top = max(top, m["seq"])
    if m["seq"] > last and gapless:
        last = m["seq"]
        print(last, m["name"], json.dumps(m["msg"], ensure_ascii=False), flush=True)
    elif m["seq"] > last:
        sync()  # which brings this one too


def say():  # sends the next message once the one before it is acknowledged
    global busy
    if ready and unsure and not busy:
        busy = True
        send(unsure[0])
        unsure[0]["retry"] = True  # from here on it may be stored


def handle(m):  # returns None, or after how many milliseconds to connect again
    global me, login, epoch, last, top, told, ready, asked, busy
    op, errno = m["msgid"], m.get("errno", 0)
    if op == 2 and errno == 1 or op == 23 and m["reason"] in ("replaced", "logout", "abuse"):
        print("over:", m["errmsg"], flush=True)  # LOGIN_ACK, KICK
        os._exit(1)  # whatever the thread waits for
    if errno in (9, 10) or op == 23:  # too fast, unavailable, KICK: all of it again, in order, later
        return m.get("retry_after_ms", 0)
    if op == 18:  # PING
        send({"msgid": 19})
    elif op == 2:  # LOGIN_ACK
        if m["epoch"] != epoch:  # from a backup: its messages have other numbers
            epoch, last, top = m["epoch"], 0, 0
        login, ready = {"msgid": 1, "token": m["token"], "ack": True, "brief": True}, True
        print("logged in as", me := m["id"], flush=True)
        sync()
        say()
    elif op == 6 and peer == (m["toid"] if m["id"] == me else m["id"]):  # ONE_CHAT
        take(m, m["seq"] == last + 1)
    elif op == 22:  # SYNC_ACK
        for missed in m.get("messages", []):
            take(missed, True)
        asked, top = False, max(top, m.get("last", 0))
        if errno == 0 and last < top:
            sync()
    elif m.get("rid") == 1:  # of our message: ONE_CHAT_ACK, or ERROR where the decoder refused it
        own, busy = unsure.pop(0), False
        if errno == 0:  # it stands for the push of our message
            take({**own, "name": name, "seq": m["seq"]}, m["seq"] == last + 1)
        else:
            print("refused:", m["errmsg"], flush=True)
        say()
    if ready and last > told:
        told = last
        send({"msgid": 20, "peer": peer, "seq": last})  # RECEIPT


async def talk():  # for as long as a connection lasts
    global out, told, asked, busy, ready
    reader, out = await asyncio.open_connection(*addr.rsplit(":", 1))
    try:
        told, asked, busy = 0, False, False
        if "name" in login:
            send({"msgid": 4, "name": name, "password": password})  # REG; errno 1 where the name is taken
        send(login)
        wait = None
        while wait is None:
            head = await asyncio.wait_for(reader.readexactly(4), 45)  # it answers each PING, or it is dead
            wait = handle(json.loads(await reader.readexactly(struct.unpack(">I", head)[0])))
        return wait
    finally:
        ready = False
        out.close()


def typed(text):
    if len(text) > 8000:  # up to here it fits into a frame, whatever is in it
        return print("too long", flush=True)
    unsure.append({"msgid": 6, "rid": 1, "toid": peer, "msg": text, "cid": secrets.token_hex(16)})
    say()


def listen(loop):  # a thread of its own, as a terminal, a pipe and a file can all be read by one
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
