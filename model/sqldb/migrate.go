package sqldb

import (
	"context"
	"fmt"
	"io/fs"
	"path"

	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"
)

// provider reads the dialect's migrations. Don't close the provider: it would
// close the pool.
func (db *DB) provider(pool *sqlx.DB, all fs.FS) (*goose.Provider, error) {
	files, err := fs.Sub(all, path.Join(migrationDir, db.Name))
	if err != nil {
		return nil, err
	}
	p, err := goose.NewProvider(db.goose, pool.DB, files,
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", db.Where, err)
	}
	return p, nil
}

// migrate brings the schema up to date. Migrations only add to it, so an older
// release keeps working while a newer one runs on the same database. But a program
// that starts refuses a newer schema, as it can't know what has changed.
func (db *DB) migrate(ctx context.Context, files fs.FS) error {
	unlock, err := db.lockSchema(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", db.Where, err)
	}
	defer unlock()
	p, err := db.provider(db.Maintenance, files)
	if err != nil {
		return err
	}
	if err := db.checkOwner(ctx); err != nil {
		return err
	}
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("%s: read the schema version: %w", db.Where, err)
	}
	if have > want {
		return fmt.Errorf("%s: its schema is version %d, newer than version %d of this chatd: use the newer release, or restore an older backup", db.Where, have, want)
	}
	if have == want {
		return nil
	}
	release, err := db.lockOut()
	if err != nil {
		return fmt.Errorf("%s: migrating the schema from version %d to %d needs exclusive access: %w", db.Where, have, want, err)
	}
	defer release()
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("%s: migrate the schema from version %d to %d: %w", db.Where, have, want, err)
	}
	return nil
}

// checkSchema returns an error unless the schema has this program's version. It
// only reads.
func (db *DB) checkSchema(ctx context.Context, files fs.FS) error {
	p, err := db.provider(db.Reader, files)
	if err != nil {
		return err
	}
	var want, have, tables int64
	for _, source := range p.ListSources() {
		want = max(want, source.Version)
	}
	err = db.Reader.GetContext(ctx, &tables, db.tables+` AND name = ?`, goose.DefaultTablename)
	if err == nil && tables == 0 {
		return fmt.Errorf("%s: not a chatd database: it has no table %s", db.Where, goose.DefaultTablename)
	}
	if err == nil {
		err = db.Reader.GetContext(ctx, &have, `SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version`)
	}
	switch {
	case err != nil:
		return fmt.Errorf("%s: read the schema version: %w", db.Where, err)
	case have != want:
		return fmt.Errorf("%s: its schema is version %d, but this chatd needs version %d: use the same release as the server", db.Where, have, want)
	}
	return nil
}

// checkOwner returns an error if the database has tables, but not goose's. Then
// they belong to another program.
func (db *DB) checkOwner(ctx context.Context) error {
	var tables, versions int
	err := db.Writer.GetContext(ctx, &tables, db.tables)
	if err == nil {
		err = db.Writer.GetContext(ctx, &versions, db.tables+` AND name = ?`, goose.DefaultTablename)
	}
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", db.Where, err)
	case tables > 0 && versions == 0:
		return fmt.Errorf("%s: has tables of another program: use an empty database", db.Where)
	}
	return nil
}
