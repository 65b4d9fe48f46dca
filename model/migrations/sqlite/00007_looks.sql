-- What the names of users look like: one or two rows for each user. See
-- model/looks.go.

-- +goose Up
-- look is a hash of the name's skeleton: names that look alike have one in common.
-- If they also have the same script, readers of that script can tell them apart.
-- version is that of the function that computed the row.
CREATE TABLE looks (
    user_id INTEGER NOT NULL,
    look    BLOB NOT NULL,
    script  TEXT NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (user_id, look)
) WITHOUT ROWID;
CREATE INDEX looks_look ON looks (look);
