-- Deleted users who are still in conversations or lists of friends: see
-- DeleteUser in model/operators.go.

-- +goose Up
CREATE TABLE deletions (
    user_id INTEGER PRIMARY KEY
);

-- The lane of operators' commands: see model/feed/lane.go.
INSERT OR IGNORE INTO feed_lanes (lane, opened) VALUES (1, 0);

-- The table departures isn't used any more: the feed has what it had.
