package mirror

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// file is a file, or a directory, that is open for changes on all sides.
type file struct {
	fs   *FS
	name string
	on   []handle // by side
}

// handle is the file at one side.
type handle struct {
	mu     sync.RWMutex // shared while it is used: what hangs on a side that is out is not closed meanwhile
	f      vfs.File     // guarded by mu; nil where the side was out before, and when it is closed
	closed bool         // guarded by mu
}

func (h *handle) set(f vfs.File) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed { // the side hung meanwhile, and is out
		_ = f.Close()
		return
	}
	h.f = f
}

// open opens the file where it is not open yet.
func (h *handle) open(open func() (vfs.File, error)) error {
	h.mu.RLock()
	there := h.f != nil
	h.mu.RUnlock()
	if there {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.f != nil {
		return nil
	}
	if h.closed {
		return errNotOpen
	}
	f, err := open()
	if err != nil {
		return err
	}
	h.f = f
	return nil
}

func (h *handle) close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.f
	h.closed = true
	if f == nil {
		return nil
	}
	h.f = nil
	return f.Close()
}

var errNotOpen = errors.New("the file is not open on this side of the mirror")

func (w *file) each(op func(i int, f vfs.File) (int, error)) (int, error) {
	return w.fs.each(func(i int, _ *side) (int, error) {
		h := &w.on[i]
		h.mu.RLock()
		defer h.mu.RUnlock()
		if h.f == nil {
			return 0, errNotOpen
		}
		return op(i, h.f)
	})
}

func (w *file) change(op func(f vfs.File) error) error {
	_, err := w.each(func(_ int, f vfs.File) (int, error) { return 0, op(f) })
	return err
}

// EachFile carries out what vfs.File lacks on the file of every side.
func (w *file) EachFile(op func(f vfs.File) error) error { return w.change(op) }

// Write implements vfs.File.
func (w *file) Write(p []byte) (int, error) {
	return w.write(p, func(f vfs.File, p []byte) (int, error) { return f.Write(p) })
}

// WriteAt implements vfs.File.
func (w *file) WriteAt(p []byte, off int64) (int, error) {
	return w.write(p, func(f vfs.File, p []byte) (int, error) { return f.WriteAt(p, off) })
}

// write gives each side bytes of its own: a vfs.File may change those that it is given, and one that hangs keeps them.
func (w *file) write(p []byte, op func(f vfs.File, p []byte) (int, error)) (int, error) {
	own := make([]chunk, len(w.on))
	for i := range own {
		own[i] = newChunk(len(p))
		copy(own[i].bytes(), p)
	}
	return w.each(func(i int, f vfs.File) (int, error) {
		n, err := op(f, own[i].bytes())
		own[i].free()
		return n, err
	})
}

// Preallocate implements vfs.File.
func (w *file) Preallocate(off, length int64) error {
	return w.change(func(f vfs.File) error { return f.Preallocate(off, length) })
}

// Sync implements vfs.File.
func (w *file) Sync() error { return w.change(vfs.File.Sync) }

// SyncData implements vfs.File.
func (w *file) SyncData() error { return w.change(vfs.File.SyncData) }

// SyncTo implements vfs.File. It is a full sync only where it was one on every side.
func (w *file) SyncTo(length int64) (bool, error) {
	var partly atomic.Bool
	err := w.change(func(f vfs.File) error {
		full, err := f.SyncTo(length)
		if !full {
			partly.Store(true)
		}
		return err
	})
	return err == nil && !partly.Load(), err
}

// first asks the sides in step until one answers.
func first[T any](w *file, question func(f vfs.File) (T, error)) (T, error) {
	return ask(w.fs, func(i int, _ *side) (T, error) { return use(&w.on[i], question) })
}

func use[T any](h *handle, question func(f vfs.File) (T, error)) (answer T, err error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.f == nil {
		return answer, errNotOpen
	}
	return question(h.f)
}

// Read implements vfs.File. Files that are written are read by ReadAt, or opened for reading.
func (w *file) Read([]byte) (int, error) { return 0, errors.ErrUnsupported }

// ReadAt implements vfs.File.
func (w *file) ReadAt(p []byte, off int64) (int, error) {
	n, err := first(w, func(f vfs.File) (chunk, error) { return readChunk(f, len(p), off) })
	return n.into(p), err
}

// Stat implements vfs.File.
func (w *file) Stat() (vfs.FileInfo, error) { return first(w, vfs.File.Stat) }

// Prefetch implements vfs.File.
func (w *file) Prefetch(off, length int64) error {
	_, err := first(w, func(f vfs.File) (struct{}, error) { return struct{}{}, f.Prefetch(off, length) })
	return err
}

// Fd implements vfs.File: there is more than one.
func (w *file) Fd() uintptr { return vfs.InvalidFd }

// Close implements vfs.File. Nobody waits for a side that is out.
func (w *file) Close() error {
	if w.fs.broken.Load() != nil {
		return w.close()
	}
	for i, s := range w.fs.sides {
		if s.out.Load() {
			go func() { _ = w.on[i].close() }() // it ends with what uses it; the disk may hang
		}
	}
	_, err := w.fs.each(func(i int, _ *side) (int, error) { return 0, w.on[i].close() })
	return err
}

// close closes what was opened, as far as it was.
func (w *file) close() error {
	var errs []error
	for i := range w.on {
		errs = append(errs, w.on[i].close())
	}
	return errors.Join(errs...)
}

// reader is a file that is open for reading: on the side that is read, and on another one when that fails.
type reader struct {
	fs      *FS
	name    string
	options []vfs.OpenOption
	only    *side    // nil: any
	on      []handle // by side; each is opened when it is needed
	at      int64    // of Read; one goroutine reads
}

// openReader opens the file on one side.
func openReader(r *reader) (vfs.File, error) {
	r.on = make([]handle, len(r.fs.sides))
	_, err := read(r, func(vfs.File) (struct{}, error) { return struct{}{}, nil })
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// read asks the sides in step until one answers.
func read[T any](r *reader, question func(f vfs.File) (T, error)) (T, error) {
	return ask(r.fs, func(i int, s *side) (T, error) {
		var none T
		if r.only != nil && r.only != s {
			return none, errOut
		}
		err := r.on[i].open(func() (vfs.File, error) { return r.fs.o.FS.Open(r.fs.path(s, r.name), r.options...) })
		if err != nil {
			return none, err
		}
		return use(&r.on[i], question)
	})
}

// ReadAt implements vfs.File.
func (r *reader) ReadAt(p []byte, off int64) (int, error) {
	n, err := read(r, func(f vfs.File) (chunk, error) { return readChunk(f, len(p), off) })
	return n.into(p), err
}

// Read implements vfs.File.
func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := r.ReadAt(p, r.at)
	r.at += int64(n)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// Stat implements vfs.File.
func (r *reader) Stat() (vfs.FileInfo, error) { return read(r, vfs.File.Stat) }

// Prefetch implements vfs.File.
func (r *reader) Prefetch(off, length int64) error {
	_, err := read(r, func(f vfs.File) (struct{}, error) { return struct{}{}, f.Prefetch(off, length) })
	return err
}

// Close implements vfs.File. Nobody waits for a side that is out.
func (r *reader) Close() error {
	for i := range r.on {
		_, _ = await(r.fs.sides[i], func() (struct{}, error) { return struct{}{}, r.on[i].close() }) // opened for reading only
	}
	return nil
}

// chunk is memory of one operation on one side: one that was given up may still go on with it.
type chunk struct {
	memory *[]byte
	n      int
}

var chunks = sync.Pool{New: func() any { return new([]byte) }}

func newChunk(n int) chunk {
	m := chunks.Get().(*[]byte)
	if cap(*m) < n {
		*m = make([]byte, n)
	}
	return chunk{m, n}
}

func (c chunk) bytes() []byte { return (*c.memory)[:c.n] }

func (c chunk) free() { chunks.Put(c.memory) }

func readChunk(f vfs.File, n int, off int64) (chunk, error) {
	c := newChunk(n)
	got, err := f.ReadAt(c.bytes(), off)
	c.n = got
	return c, err
}

// into copies what was read, if anything was. The chunk is not used again.
func (c chunk) into(p []byte) int {
	if c.memory == nil {
		return 0
	}
	n := copy(p, c.bytes())
	c.free()
	return n
}

var errReading = errors.New("the file is open for reading")

// Write implements vfs.File.
func (r *reader) Write([]byte) (int, error) { return 0, errReading }

// WriteAt implements vfs.File.
func (r *reader) WriteAt([]byte, int64) (int, error) { return 0, errReading }

// Preallocate implements vfs.File.
func (r *reader) Preallocate(int64, int64) error { return errReading }

// Sync implements vfs.File.
func (r *reader) Sync() error { return errReading }

// SyncData implements vfs.File.
func (r *reader) SyncData() error { return errReading }

// SyncTo implements vfs.File.
func (r *reader) SyncTo(int64) (bool, error) { return false, errReading }

// Fd implements vfs.File.
func (r *reader) Fd() uintptr { return vfs.InvalidFd }
