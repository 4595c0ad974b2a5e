package disk

import (
	"container/list"
	"io"
	"os"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const maxHandles = 256

// readable is a file as readers need it: an *os.File where there is one, else a vfs.File.
type readable interface {
	io.ReaderAt
	io.Closer
}

// openRead opens a file for reading. On a real file system it does not go through vfs.FS: nothing is written, and nothing
// needs to be between the reader and the page cache.
func openRead(fs vfs.FS, path string) (readable, error) {
	if vfs.Root(fs) == vfs.Default {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		return f, nil
	}
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// handles keeps the segments that are read open, the least recently used ones up to a limit.
type handles struct {
	mu struct {
		sync.Mutex
		byID   map[FileID]*handle
		recent *list.List // of *handle, most recent first
	}
}

type handle struct {
	id      FileID
	file    readable
	readers int
	dropped bool
	place   *list.Element
}

// acquire returns a handle of a segment. It must be released.
func (h *handles) acquire(fs vfs.FS, s *segment) (*handle, error) {
	if x := h.find(s.id); x != nil {
		return x, nil
	}
	f, err := openRead(fs, s.path)
	if err != nil {
		return nil, err
	}
	if x := h.find(s.id); x != nil { // another reader was faster
		_ = f.Close() // opened for reading only
		return x, nil
	}
	return h.add(s.id, f), nil
}

func (h *handles) find(id FileID) *handle {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.mu.byID[id]
	if x != nil {
		x.readers++
		h.mu.recent.MoveToFront(x.place)
	}
	return x
}

// add takes a file in. When two readers came at once, the later handle is used once and dropped.
func (h *handles) add(id FileID, f readable) *handle {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := &handle{id: id, file: f, readers: 1}
	if h.mu.byID == nil {
		h.mu.byID, h.mu.recent = make(map[FileID]*handle), list.New()
	}
	if h.mu.byID[id] != nil {
		x.dropped = true
		return x
	}
	h.mu.byID[id] = x
	x.place = h.mu.recent.PushFront(x)
	for e := h.mu.recent.Back(); e != nil && h.mu.recent.Len() > maxHandles; {
		old := e.Value.(*handle)
		e = e.Prev()
		if old.readers == 0 {
			h.takeOut(old)
			_ = old.file.Close() // opened for reading only
		}
	}
	return x
}

func (h *handles) takeOut(x *handle) {
	delete(h.mu.byID, x.id)
	h.mu.recent.Remove(x.place)
	x.dropped = true
}

func (h *handles) release(x *handle) {
	h.mu.Lock()
	defer h.mu.Unlock()
	x.readers--
	if x.dropped && x.readers == 0 {
		_ = x.file.Close() // opened for reading only
	}
}

// drop closes the handle of a segment that is going away, when its last reader is gone.
func (h *handles) drop(id FileID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if x := h.mu.byID[id]; x != nil {
		h.takeOut(x)
		if x.readers == 0 {
			_ = x.file.Close() // opened for reading only
		}
	}
}

// close closes all handles; those in use, when their last reader is gone.
func (h *handles) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, x := range h.mu.byID {
		h.takeOut(x)
		if x.readers == 0 {
			_ = x.file.Close() // opened for reading only
		}
	}
}
