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
