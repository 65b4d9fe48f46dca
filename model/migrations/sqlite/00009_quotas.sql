-- How much users have used of what they may store per day. See model/quotas.go.

-- +goose Up
-- kind: 1 is what the user has stored, 2 what strangers have stored for the user.
-- full_at is when the user may store a whole day's quota again, in Unix microseconds.
-- Without a row, that is now.
CREATE TABLE quotas (
    user_id INTEGER NOT NULL,
    kind    INTEGER NOT NULL,
    full_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, kind)
) WITHOUT ROWID;
