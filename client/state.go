package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Saved is the state that a client needs to continue after a restart.
type Saved struct {
	User   int64          `json:"user"`   // the user's ID
	Name   string         `json:"name"`   // the user's name
	Device string         `json:"device"` // the device of Token
	Token  string         `json:"token"`  // for logging in without a password; a secret
	Epoch  int64          `json:"epoch"`  // the server's epoch; if it differs, Last is invalid
	Last   map[Conv]int64 `json:"last"`   // the seq of the last handled message of each conversation
}

// Store keeps a client's Saved between runs. A client calls it from one goroutine
// at a time: Load in New; Save at each login and logout, in Close, and at most every
// 2 s in between. Login, Logout and Close wait for Save. Errors of Save are logged,
// and saving is retried. Logout and Close also return them.
type Store interface {
	Load() (*Saved, error) // nil, nil if nothing was saved
	Save(*Saved) error     // must replace the saved state atomically
}

// FileStore is a Store that uses one file, with mode 0600.
type FileStore struct {
	Path string // path of the file; Save also creates temporary files in its directory
}

// Load reads the file. A missing file is not an error. Invalid content is
// ErrBadState.
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

// Save writes a new file and renames it, so that a crash leaves the old or the
// new one. It blocks until the new file is on disk.
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
