-- For the meaning of the columns, see the same table in sqlite/00008_invites.sql.

-- +goose Up
CREATE TABLE IF NOT EXISTS invites (
    id         BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    code_hash  VARBINARY(64) NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    uses       BIGINT NOT NULL,
    uses_left  BIGINT NOT NULL,
    UNIQUE KEY invites_code_hash (code_hash)
) ENGINE = InnoDB;
