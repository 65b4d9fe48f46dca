-- For the meaning of the columns, see the same tables in sqlite/00001_start.sql.
-- All text is compared byte by byte, as VARBINARY or with a binary collation.
-- IF NOT EXISTS: MySQL can't roll back CREATE TABLE, so a migration that was
-- interrupted runs again.

-- +goose Up
CREATE TABLE IF NOT EXISTS meta (
    name  VARBINARY(64) NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS users (
    id            BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name          VARCHAR(255) NOT NULL,
    name_key      VARBINARY(1024),
    password_hash VARCHAR(255) NOT NULL,
    created_at    BIGINT NOT NULL,
    banned        TINYINT NOT NULL DEFAULT 0,
    deleted       TINYINT NOT NULL DEFAULT 0,
    UNIQUE KEY users_name_key (name_key)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS devices (
    user_id    BIGINT NOT NULL,
    device     VARBINARY(512) NOT NULL,
    token_hash VARBINARY(64),
    last_used  BIGINT NOT NULL,
    PRIMARY KEY (user_id, device),
    UNIQUE KEY devices_token_hash (token_hash)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;

CREATE TABLE IF NOT EXISTS friends (
    user_id   BIGINT NOT NULL,
    friend_id BIGINT NOT NULL,
    PRIMARY KEY (user_id, friend_id)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS conversations (
    id          BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    kind        BIGINT NOT NULL,
    user_lo     BIGINT,
    user_hi     BIGINT,
    name        VARCHAR(255) NOT NULL DEFAULT '',
    description VARCHAR(1024) NOT NULL DEFAULT '',
    creator     BIGINT NOT NULL DEFAULT 0,
    size        BIGINT NOT NULL DEFAULT 0,
    gone        TINYINT NOT NULL DEFAULT 0,
    last_seq    BIGINT NOT NULL DEFAULT 0,
    last_time   BIGINT NOT NULL DEFAULT 0,
    version     BIGINT NOT NULL DEFAULT 0,
    blocks      BIGINT NOT NULL DEFAULT 0,
    touched     BIGINT NOT NULL DEFAULT 0,
    UNIQUE KEY conversations_pair (user_lo, user_hi),
    KEY conversations_touched (touched)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS members (
    conversation_id BIGINT NOT NULL,
    user_id         BIGINT NOT NULL,
    role            BIGINT NOT NULL DEFAULT 0,
    joined_seq      BIGINT NOT NULL DEFAULT 0,
    joined_at       BIGINT NOT NULL DEFAULT 0,
    read_seq        BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (conversation_id, user_id),
    KEY members_user (user_id, conversation_id)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS cursors (
    user_id         BIGINT NOT NULL,
    device          VARBINARY(512) NOT NULL,
    conversation_id BIGINT NOT NULL,
    delivered_seq   BIGINT NOT NULL,
    PRIMARY KEY (user_id, device, conversation_id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;

CREATE TABLE IF NOT EXISTS messages (
    conversation_id BIGINT NOT NULL,
    seq             BIGINT NOT NULL,
    sender_id       BIGINT NOT NULL,
    cid             VARBINARY(255) NOT NULL,
    body            MEDIUMBLOB NOT NULL,
    created_at      BIGINT NOT NULL,
    PRIMARY KEY (conversation_id, seq),
    UNIQUE KEY messages_cid (conversation_id, sender_id, cid)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;

CREATE TABLE IF NOT EXISTS revocations (
    id      BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    user_id BIGINT NOT NULL,
    at      BIGINT NOT NULL
) ENGINE = InnoDB;
