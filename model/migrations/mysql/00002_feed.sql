-- For the meaning of the columns, see the same tables in sqlite/00002_feed.sql.

-- +goose Up
CREATE TABLE IF NOT EXISTS feed_lanes (
    lane      BIGINT NOT NULL PRIMARY KEY,
    opened    BIGINT NOT NULL,
    trimmed   BIGINT NOT NULL DEFAULT 0,
    closed    BIGINT NOT NULL DEFAULT 0,
    closed_at BIGINT NOT NULL DEFAULT 0
) ENGINE = InnoDB;

INSERT IGNORE INTO meta (name, value) VALUES ('feed_closed', 0), ('feed_forgotten', 0);

CREATE TABLE IF NOT EXISTS feed (
    lane  BIGINT NOT NULL,
    pos   BIGINT NOT NULL,
    tick  BIGINT NOT NULL,
    time  BIGINT NOT NULL,
    spans MEDIUMBLOB NOT NULL,
    PRIMARY KEY (lane, pos)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;

-- Last, because it can't run twice.
ALTER TABLE conversations DROP INDEX conversations_touched, CHANGE touched tick BIGINT NOT NULL DEFAULT 0;
