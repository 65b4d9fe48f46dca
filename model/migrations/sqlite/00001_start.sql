-- +goose Up
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

-- name_key is NULL once the user is deleted: the name is free again, and the
-- row stays for the author that history names.
CREATE TABLE users (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    name          TEXT NOT NULL,
    name_key      TEXT UNIQUE,
    password_hash TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    banned        INTEGER NOT NULL DEFAULT 0,
    deleted       INTEGER NOT NULL DEFAULT 0
);

-- token_hash is NULL once the device has logged out. last_used is Unix ms.
CREATE TABLE devices (
    user_id    INTEGER NOT NULL,
    device     TEXT NOT NULL,
    token_hash BLOB UNIQUE,
    last_used  INTEGER NOT NULL,
    PRIMARY KEY (user_id, device)
);

CREATE TABLE friends (
    user_id   INTEGER NOT NULL,
    friend_id INTEGER NOT NULL,
    PRIMARY KEY (user_id, friend_id)
) WITHOUT ROWID;

-- kind: 1 a pair, 2 a group. A pair has user_lo <= user_hi (equal: notes) and
-- blocks, whose bits pairs.go names; a group has the rest. touched is database
-- time in seconds, last_time the last message's in ms.
CREATE TABLE conversations (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    kind        INTEGER NOT NULL,
    user_lo     INTEGER,
    user_hi     INTEGER,
    name        TEXT NOT NULL DEFAULT '',
    description TEXT NOT NULL DEFAULT '',
    creator     INTEGER NOT NULL DEFAULT 0,
    size        INTEGER NOT NULL DEFAULT 0,
    gone        INTEGER NOT NULL DEFAULT 0,
    last_seq    INTEGER NOT NULL DEFAULT 0,
    last_time   INTEGER NOT NULL DEFAULT 0,
    version     INTEGER NOT NULL DEFAULT 0,
    blocks      INTEGER NOT NULL DEFAULT 0,
    touched     INTEGER NOT NULL DEFAULT 0,
    UNIQUE (user_lo, user_hi)
);
CREATE INDEX conversations_touched ON conversations (touched);

-- Pairs have rows here too, so that all of a user's conversations are one
-- range of members_user. role: 1 creator, 0 any other.
CREATE TABLE members (
    conversation_id INTEGER NOT NULL,
    user_id         INTEGER NOT NULL,
    role            INTEGER NOT NULL DEFAULT 0,
    joined_seq      INTEGER NOT NULL DEFAULT 0,
    joined_at       INTEGER NOT NULL DEFAULT 0,
    read_seq        INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (conversation_id, user_id)
) WITHOUT ROWID;
CREATE INDEX members_user ON members (user_id, conversation_id);

CREATE TABLE cursors (
    user_id         INTEGER NOT NULL,
    device          TEXT NOT NULL,
    conversation_id INTEGER NOT NULL,
    delivered_seq   INTEGER NOT NULL,
    PRIMARY KEY (user_id, device, conversation_id)
) WITHOUT ROWID;

-- With a rowid: without one it is slower to write.
CREATE TABLE messages (
    conversation_id INTEGER NOT NULL,
    seq             INTEGER NOT NULL,
    sender_id       INTEGER NOT NULL,
    cid             BLOB NOT NULL,
    body            BLOB NOT NULL,
    created_at      INTEGER NOT NULL,
    PRIMARY KEY (conversation_id, seq),
    UNIQUE (conversation_id, sender_id, cid)
);

-- What operators have revoked: daemons poll it and end those users' sessions.
CREATE TABLE revocations (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER NOT NULL,
    at      INTEGER NOT NULL
);
