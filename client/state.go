package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Saved is what a client needs to go on where it stopped.
type Saved struct {
	User   int64          `json:"user"`   // the user's id
	Name   string         `json:"name"`   // the user's
	Device string         `json:"device"` // the one that Token logs in
	Token  string         `json:"token"`  // logs in without the password: a secret
	Epoch  int64          `json:"epoch"`  // the server's; another one: Last is worth nothing
	Last   map[Conv]int64 `json:"last"`   // per conversation the seq of the last message handled
}

// Store keeps a Saved. A client calls it from one goroutine at a time, Load in New
// and Save every 2 s at most, at each login and logout, and in Close, which wait for
// it. Errors of Save are logged and tried again, and returned by Logout and Close.
type Store interface {
	Load() (*Saved, error) // nil, nil: nothing was saved
	Save(*Saved) error     // replaces what was saved, whole or not at all
}

// FileStore keeps it in a file that only its owner may read (0600).
type FileStore struct {
	Path string // of the file; Save writes another beside it first
}

// Load reads the file. One that is not there is not an error; one that
// isn't readable as a Saved is ErrBadState.
func (f FileStore) Load() (*Saved, error) {
	b, err := os.ReadFile(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s := new(Saved)
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrBadState, f.Path, err)
	}
	return s, nil
}

// Save writes a new file beside the old one and renames it, so that a crash
// leaves one or the other. It blocks until the disk has the new one.
func (f FileStore) Save(s *Saved) (err error) {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	// CreateTemp makes files with mode 0600.
	tmp, err := os.CreateTemp(filepath.Dir(f.Path), filepath.Base(f.Path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(tmp.Name())
		}
	}()
	_, err = tmp.Write(b)
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), f.Path)
	}
	return err
}
