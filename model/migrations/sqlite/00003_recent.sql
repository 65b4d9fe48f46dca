-- The newest messages, which aren't in the indexes of messages yet. See
-- model/recent/DESIGN.md.

-- +goose Up
CREATE TABLE recent (
    id              INTEGER PRIMARY KEY,
    conversation_id INTEGER NOT NULL,
    seq             INTEGER NOT NULL,
    sender_id       INTEGER NOT NULL,
    cid             BLOB NOT NULL,
    body            BLOB NOT NULL,
    created_at      INTEGER NOT NULL
);
INSERT INTO meta (name, value) VALUES ('recent_last', 0);
