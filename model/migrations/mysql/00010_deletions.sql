-- See sqlite/00010_deletions.sql.

-- +goose Up
CREATE TABLE IF NOT EXISTS deletions (
    user_id BIGINT NOT NULL PRIMARY KEY
) ENGINE = InnoDB;

INSERT IGNORE INTO feed_lanes (lane, opened) VALUES (1, 0);
