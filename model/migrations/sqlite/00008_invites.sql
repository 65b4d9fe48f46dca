-- Invitations to register. code_hash is the SHA-256 of the code, which isn't stored.
-- Times are in Unix ms. uses_left counts down; a row with 0 stays, to show that the
-- code was used.

-- +goose Up
CREATE TABLE invites (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    code_hash  BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    uses       INTEGER NOT NULL,
    uses_left  INTEGER NOT NULL
);
