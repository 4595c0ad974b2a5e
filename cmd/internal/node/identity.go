package node

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/aisle-store/aisle/cluster"
)

// identityFile names the node for ever. It lives in the state directory.
const identityFile = "node.json"

// identityVersion is the version of the file's form.
const identityVersion = 1

// identity is what a node knows of itself before it has spoken to anybody.
type identity struct {
	Version    int                   `json:"version"`
	ID         cluster.NodeID        `json:"id"`
	Mountpaths []registeredMountpath `json:"mountpaths"`
}

// registeredMountpath is a mountpath that was given to this node once. A path that is formatted and comes up empty later
// is a disk that is not mounted, or another one: it fails and is never formatted again by itself.
type registeredMountpath struct {
	cluster.Mountpath
	Formatted bool `json:"formatted"`
	Attached  bool `json:"attached,omitempty"` // while the node ran: it need not be given
	Listed    bool `json:"listed,omitempty"`   // the map has it, or had it
	Detached  bool `json:"detached,omitempty"` // the map has it no more: it is not used, though it may still be given

	InStep []cluster.MountpathID `json:"in_step,omitempty"` // of a mirror: the mountpaths that have all that was ever synced on it
}

// state is the locked state directory of a node.
type state struct {
	dir  string
	lock *os.File
	mu   sync.Mutex // of changes to id, once the node runs
	id   identity
}

// openState makes or opens the state directory, so that no other process uses it, and reads the node's identity.
func openState(dir string) (*state, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "LOCK"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	s := &state{dir: dir, lock: lock}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("%s is in use by another process: is the node already running?", dir)
	}
	if err := s.read(); err != nil {
		lock.Close()
		return nil, err
	}
	return s, nil
}

func (s *state) close() error { return s.lock.Close() }

func (s *state) path(name string) string { return filepath.Join(s.dir, name) }

// read loads the identity, or makes one for a directory that has none.
func (s *state) read() error {
	text, err := os.ReadFile(s.path(identityFile))
	if errors.Is(err, fs.ErrNotExist) {
		s.id = identity{Version: identityVersion, ID: cluster.NodeID(randomName("n"))}
		return s.save()
	}
	if err == nil {
		err = json.Unmarshal(text, &s.id)
	}
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", s.path(identityFile), err)
	case s.id.Version > identityVersion:
		return fmt.Errorf("%s was written by a newer version of aisle (form %d); use that version", s.path(identityFile), s.id.Version)
	case s.id.ID == "":
		return fmt.Errorf("%s names no node", s.path(identityFile))
	}
	return nil
}

// save writes the identity durably, all or nothing.
func (s *state) save() error {
	text, err := json.MarshalIndent(s.id, "", "  ")
	if err != nil {
		return err
	}
	return writeDurably(s.path(identityFile), append(text, '\n'))
}

// register matches the mountpaths that the node was given with those it had before. New ones get an id. That one is
// missing is a mistake, as a target would lose what is on it.
func (s *state) register(paths []string) ([]cluster.Mountpath, error) {
	s.id.Mountpaths = slices.DeleteFunc(s.id.Mountpaths, func(m registeredMountpath) bool { return m.Mirror > 0 && m.Detached })
	given := make(map[string]bool)
	for _, p := range paths {
		absolute, err := filepath.Abs(p)
		if err != nil {
			return nil, err
		}
		if given[absolute] {
			return nil, fmt.Errorf("--mountpath %s is given twice", p)
		}
		given[absolute] = true
		if !s.knows(absolute) {
			if err := s.checkNew(absolute); err != nil {
				return nil, err
			}
			s.id.Mountpaths = append(s.id.Mountpaths, registeredMountpath{Mountpath: newMountpath(absolute)})
		}
	}
	var all []cluster.Mountpath
	for _, m := range s.id.Mountpaths {
		if m.Detached {
			continue
		}
		if !given[m.Path] && !m.Attached {
			return nil, fmt.Errorf("this node has the mountpath %s, and it is not given; add --mountpath %s", m.Path, m.Path)
		}
		all = append(all, m.Mountpath)
	}
	return all, s.save()
}

func newMountpath(path string) cluster.Mountpath {
	return cluster.Mountpath{ID: cluster.MountpathID(randomName("mp")), Path: path, Weight: 100}
}

func (s *state) knows(path string) bool {
	for _, m := range s.id.Mountpaths {
		if m.Path == path {
			return true
		}
	}
	return false
}

// randomName returns a name of a prefix and 60 random bits.
func randomName(prefix string) string {
	var b [8]byte
	rand.Read(b[:])
	return prefix + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:])[:12])
}

// newIncarnation returns the random number of this start of the process.
func newIncarnation() cluster.Incarnation {
	var b [8]byte
	rand.Read(b[:])
	return cluster.Incarnation(binary.BigEndian.Uint64(b[:]) | 1) // never zero
}

// writeDurably replaces a file, readable by its owner only, so that after a crash either the old or the new content is there.
func writeDurably(path string, content []byte) error {
	temporary := path + ".new"
	f, err := os.OpenFile(temporary, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// ID returns the id of the node whose state directory this is.
func ID(dir string) (cluster.NodeID, error) {
	text, err := os.ReadFile(filepath.Join(dir, identityFile))
	if err != nil {
		return "", err
	}
	var id identity
	err = json.Unmarshal(text, &id)
	return id.ID, err
}
