-- The feed: a row for each transaction that changed conversations. See
-- model/feed/DESIGN.md.

-- +goose Up
-- A lane is a sequence of transactions, one after another. opened and closed_at are
-- in Unix seconds, by the database's clock. Rows up to trimmed are deleted. closed:
-- 0 is open, otherwise the number of the closing; the rows feed_closed and
-- feed_forgotten of meta have the highest such numbers, of all lanes and of
-- those that are deleted.
CREATE TABLE feed_lanes (
    lane      INTEGER PRIMARY KEY,
    opened    INTEGER NOT NULL,
    trimmed   INTEGER NOT NULL DEFAULT 0,
    closed    INTEGER NOT NULL DEFAULT 0,
    closed_at INTEGER NOT NULL DEFAULT 0
);
INSERT INTO meta (name, value) VALUES ('feed_closed', 0), ('feed_forgotten', 0);

CREATE TABLE feed (
    lane  INTEGER NOT NULL,
    pos   INTEGER NOT NULL,
    tick  INTEGER NOT NULL,
    time  INTEGER NOT NULL,
    spans BLOB NOT NULL,
    PRIMARY KEY (lane, pos)
) WITHOUT ROWID;

-- The tick of a conversation is that of the last row of feed that names it.
DROP INDEX conversations_touched;
ALTER TABLE conversations RENAME COLUMN touched TO tick;
