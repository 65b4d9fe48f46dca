-- +goose Up
-- Sessions of a user are numbered by the transactions of their logins. last_session is
-- the user's highest number so far; a transaction that ends sessions takes one, too.
-- session is the number of the device's latest login. So a session is still that of its
-- device if session is its number and the device still has a token.
ALTER TABLE users ADD COLUMN last_session INTEGER NOT NULL DEFAULT 0;
ALTER TABLE devices ADD COLUMN session INTEGER NOT NULL DEFAULT 0;

-- What the transaction has changed besides conversations, such as which sessions it has
-- ended; see feed.Ended. The table revocations is no longer used.
ALTER TABLE feed ADD COLUMN extra BLOB;
