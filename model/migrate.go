package model

import (
	"context"
	"fmt"

	"github.com/pressly/goose/v3"
)

// migrate brings the schema up to this program's. Migrations only ever add,
// so that programs of two releases can share a store; one that is newer than
// the program by its number is refused all the same, for what it means is
// not known here.
func migrate(ctx context.Context, d *dialect, s *store) error {
	files, err := d.migrations()
	if err != nil {
		return err
	}
	done, err := s.turn(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", s.where, err)
	}
	defer done()
	p, err := goose.NewProvider(d.goose, s.migrating.DB, files,
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("%s: %w", s.where, err)
	}
	if err := foreign(ctx, d, s); err != nil {
		return err
	}
	// Not p.Close: that would close the database.
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("%s: reading its version: %w", s.where, err)
	}
	if have > want {
		return fmt.Errorf("%s: its schema is version %d, newer than the %d this program knows: use a newer program", s.where, have, want)
	}
	if have == want {
		return nil
	}
	release, err := s.alone()
	if err != nil {
		return fmt.Errorf("%s: its schema is version %d, this program's %d: %w", s.where, have, want, err)
	}
	defer release()
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("%s: bringing its schema from version %d to %d: %w", s.where, have, want, err)
	}
	return nil
}

// current is an error if the schema isn't this program's. It only reads.
func current(ctx context.Context, d *dialect, s *store) error {
	files, err := d.migrations()
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(d.goose, s.reading.DB, files,
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("%s: %w", s.where, err)
	}
	var want, have, tables int64
	for _, source := range p.ListSources() {
		want = max(want, source.Version)
	}
	err = s.reading.GetContext(ctx, &tables, d.tables+` AND name = ?`, goose.DefaultTablename)
	if err == nil && tables == 0 {
		return fmt.Errorf("%s: holds no chat", s.where)
	}
	if err == nil {
		err = s.reading.GetContext(ctx, &have, `SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version`)
	}
	switch {
	case err != nil:
		return fmt.Errorf("%s: reading its version: %w", s.where, err)
	case have != want:
		return fmt.Errorf("%s: its schema is version %d, this program's %d: use the program that serves from it", s.where, have, want)
	}
	return nil
}

// foreign is an error if the database holds tables, but none of ours.
func foreign(ctx context.Context, d *dialect, s *store) error {
	var tables, versions int
	err := s.writing.GetContext(ctx, &tables, d.tables)
	if err == nil {
		err = s.writing.GetContext(ctx, &versions, d.tables+` AND name = ?`, goose.DefaultTablename)
	}
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", s.where, err)
	case tables > 0 && versions == 0:
		return fmt.Errorf("%s: holds the tables of another program", s.where)
	}
	return nil
}
