-- +goose Up
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

-- When a user is deleted, name_key becomes NULL, so that the name can be registered
-- again. The row stays, because messages refer to it.
CREATE TABLE users (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    name          TEXT NOT NULL,
    name_key      TEXT UNIQUE,
    password_hash TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    banned        INTEGER NOT NULL DEFAULT 0,
    deleted       INTEGER NOT NULL DEFAULT 0
);

-- token_hash is NULL if the device is logged out. last_used is in Unix ms. It is negative
-- until the cursors of a new device are written: see newdevice.go.
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

-- kind: 1 is a pair, 2 a group. Only pairs have user_lo <= user_hi (equal for notes)
-- and blocks (bits: see pairs.go). Only groups have name, description, creator, size,
-- gone and version. last_time is the time of the last message in Unix ms. touched is
-- the time of the last change in Unix seconds, by the database's clock.
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

-- Pairs have members too, so that all of a user's conversations are one range of
-- members_user. role: 1 is the creator of a group, 0 anyone else.
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

-- The table has a rowid, because writing is slower without one.
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

-- Users whose tokens an operator has revoked. Daemons poll this table and end the
-- users' sessions. at is in Unix ms.
CREATE TABLE revocations (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER NOT NULL,
    at      INTEGER NOT NULL
);
