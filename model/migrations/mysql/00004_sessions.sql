-- For the meaning of the columns, see the same tables in sqlite/00004_sessions.sql.
-- MySQL has no ADD COLUMN IF NOT EXISTS, and this may run again after an interruption.

-- +goose Up
SET @add_last_session = IF((SELECT COUNT(*) FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'users' AND column_name = 'last_session') = 0,
    'ALTER TABLE users ADD COLUMN last_session BIGINT NOT NULL DEFAULT 0', 'DO 0');
PREPARE add_last_session FROM @add_last_session;
EXECUTE add_last_session;
DEALLOCATE PREPARE add_last_session;

SET @add_session = IF((SELECT COUNT(*) FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'devices' AND column_name = 'session') = 0,
    'ALTER TABLE devices ADD COLUMN session BIGINT NOT NULL DEFAULT 0', 'DO 0');
PREPARE add_session FROM @add_session;
EXECUTE add_session;
DEALLOCATE PREPARE add_session;

SET @add_extra = IF((SELECT COUNT(*) FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'feed' AND column_name = 'extra') = 0,
    'ALTER TABLE feed ADD COLUMN extra MEDIUMBLOB', 'DO 0');
PREPARE add_extra FROM @add_extra;
EXECUTE add_extra;
DEALLOCATE PREPARE add_extra;
