-- What nodes and users have to know of deleted accounts.

-- +goose Up
-- Until some time after deleted_at (Unix ms; 0: never deleted, or by an older
-- release), name_key stays, so that nobody else can register the name.
ALTER TABLE users ADD COLUMN deleted_at INTEGER NOT NULL DEFAULT 0;

-- A row for each friend and each group that a deleted user had. Nodes poll it, and
-- delete old rows. friend_id: who has lost the user as a friend, or 0. group_id: the
-- group that the user has left, or 0; version, last_seq and size are those of the group
-- after that.
CREATE TABLE departures (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id   INTEGER NOT NULL,
    friend_id INTEGER NOT NULL DEFAULT 0,
    group_id  INTEGER NOT NULL DEFAULT 0,
    version   INTEGER NOT NULL DEFAULT 0,
    last_seq  INTEGER NOT NULL DEFAULT 0,
    size      INTEGER NOT NULL DEFAULT 0,
    at        INTEGER NOT NULL
);
