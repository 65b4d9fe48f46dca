-- For the meaning of the columns, see the same table in sqlite/00007_looks.sql.

-- +goose Up
CREATE TABLE IF NOT EXISTS looks (
    user_id BIGINT NOT NULL,
    look    VARBINARY(16) NOT NULL,
    script  VARBINARY(255) NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (user_id, look),
    KEY looks_look (look)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;
