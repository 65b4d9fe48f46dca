-- For the meaning of the columns, see the same tables in sqlite/00006_departures.sql.

-- +goose Up
-- MySQL has no ADD COLUMN IF NOT EXISTS, and this may run again after an interruption.
SET @add_deleted_at = IF((SELECT COUNT(*) FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'users' AND column_name = 'deleted_at') = 0,
    'ALTER TABLE users ADD COLUMN deleted_at BIGINT NOT NULL DEFAULT 0', 'DO 0');
PREPARE add_deleted_at FROM @add_deleted_at;
EXECUTE add_deleted_at;
DEALLOCATE PREPARE add_deleted_at;

CREATE TABLE IF NOT EXISTS departures (
    id        BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    user_id   BIGINT NOT NULL,
    friend_id BIGINT NOT NULL DEFAULT 0,
    group_id  BIGINT NOT NULL DEFAULT 0,
    version   BIGINT NOT NULL DEFAULT 0,
    last_seq  BIGINT NOT NULL DEFAULT 0,
    size      BIGINT NOT NULL DEFAULT 0,
    at        BIGINT NOT NULL
) ENGINE = InnoDB;

-- The nodes that serve clients from this database. A node holds a named lock while it
-- runs, see model/nodes.go: a row without its lock is of a node that has ended. bus is
-- the node's ID on the bus, or 0 if it isn't connected to other nodes.
CREATE TABLE IF NOT EXISTS nodes (
    id   BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name VARBINARY(1024) NOT NULL,
    bus  BIGINT NOT NULL
) ENGINE = InnoDB;
