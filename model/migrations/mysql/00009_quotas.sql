-- For the meaning of the columns, see the same table in sqlite/00009_quotas.sql.

-- +goose Up
CREATE TABLE IF NOT EXISTS quotas (
    user_id BIGINT NOT NULL,
    kind    BIGINT NOT NULL,
    full_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, kind)
) ENGINE = InnoDB;
