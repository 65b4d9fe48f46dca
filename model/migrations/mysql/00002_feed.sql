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

-- MySQL has no RENAME COLUMN IF EXISTS, and this may run again after an interruption.
SET @rename = IF((SELECT COUNT(*) FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'conversations' AND column_name = 'touched') > 0,
    'ALTER TABLE conversations DROP INDEX conversations_touched, CHANGE touched tick BIGINT NOT NULL DEFAULT 0', 'DO 0');
PREPARE rename_touched FROM @rename;
EXECUTE rename_touched;
DEALLOCATE PREPARE rename_touched;
