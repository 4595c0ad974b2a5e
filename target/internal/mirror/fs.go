package mirror

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aisle-store/aisle/cluster"
)

// Side is a directory that has a copy of all files.
type Side struct {
	ID  cluster.MountpathID // of the mountpath that the directory lies on
	Dir string
}

// Options are what a file system is made of.
type Options struct {
	FS    vfs.FS // of the machine
	Dir   string // what the names of all files begin with; nothing needs to be there
	Sides []Side // those in step
	// Note keeps, durably and not on a side, which sides are in step. Its error says that nobody knows.
	Note func(inStep []cluster.MountpathID) error
	// Lost is told of each side that is out of step from now on. It may be nil, and must not block.
	Lost func(id cluster.MountpathID, err error)
}

// FS is a file system over several sides. Its names are those of files below Options.Dir.
type FS struct {
	vfs.FS // of the machine, for what is about names alone
	o      Options
	sides  []*side
	reads  atomic.Int64 // which side is read first, modulo their number

	mu     sync.Mutex            // of what is noted: held while it is
	broken atomic.Pointer[error] // what is in step could not be noted: nothing is changed or synced any more
}

// side is a Side and whether it is in step.
type side struct {
	Side
	out  atomic.Bool
	gone chan struct{} // closed when it is out: nobody waits for it any more
}

// New returns a file system over sides that have the same files.
func New(o Options) *FS {
	f := &FS{FS: o.FS, o: o}
	for _, s := range o.Sides {
		f.sides = append(f.sides, &side{Side: s, gone: make(chan struct{})})
	}
	return f
}

// Unwrap implements vfs.FS: it is no wrapper of one file system.
func (f *FS) Unwrap() vfs.FS { return nil }

// path returns where a side has a file.
func (f *FS) path(s *side, name string) string { return s.Dir + strings.TrimPrefix(name, f.o.Dir) }

// InStep returns the sides that are in step.
func (f *FS) InStep() []cluster.MountpathID {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.inStep()
}

func (f *FS) inStep() []cluster.MountpathID {
	var ids []cluster.MountpathID
	for _, s := range f.sides {
		if !s.out.Load() {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

// Drop takes a side out of step, unless it is the last one. It reports whether it did so now.
func (f *FS) Drop(id cluster.MountpathID, cause error) bool {
	for i, s := range f.sides {
		if s.ID == id {
			return f.drop(i, cause)
		}
	}
	return false
}

// First returns the side that is read.
func (f *FS) First() cluster.MountpathID {
	for i := range f.order() {
		return f.sides[i].ID
	}
	return ""
}

// drop takes a side out. Whoever syncs waits at mu until that is noted.
func (f *FS) drop(i int, cause error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.sides[i]
	if s.out.Load() || len(f.inStep()) == 1 {
		return false
	}
	s.out.Store(true)
	close(s.gone)
	if err := f.o.Note(f.inStep()); err != nil {
		err = fmt.Errorf("which copies of a mirror are in step could not be noted: %w", err)
		f.broken.CompareAndSwap(nil, &err)
	}
	if f.o.Lost != nil {
		f.o.Lost(s.ID, cause)
	}
	return true
}

// Turn has another side read first from now on.
func (f *FS) Turn() { f.reads.Add(1) }

// order yields the sides in step, the one that is read first.
func (f *FS) order() func(yield func(int) bool) {
	return func(yield func(int) bool) {
		n := len(f.sides)
		for k := range n {
			i := (int(f.reads.Load()%int64(n)) + k) % n
			if !f.sides[i].out.Load() && !yield(i) {
				return
			}
		}
	}
}

// outcome is what an operation came to at one side.
type outcome struct {
	done bool // else the side is out, and nobody knows
	n    int
	err  error
}

// agrees reports whether both sides are the same after an operation.
func (o outcome) agrees(with outcome) bool {
	return o.n == with.n && (o.err == nil) == (with.err == nil)
}

// each carries out a change on all sides in step, at the same time, and takes out those that did not do what the others did. It
// returns when what the sides are that have done it is noted.
func (f *FS) each(op func(i int, s *side) (int, error)) (int, error) {
	if err := f.broken.Load(); err != nil {
		return 0, *err
	}
	outcomes := make([]outcome, len(f.sides))
	answers := make([]chan outcome, len(f.sides))
	for i, s := range f.sides {
		if s.out.Load() {
			continue
		}
		answer := make(chan outcome, 1)
		answers[i] = answer
		go func() { // it ends with the operation; on a disk that hangs nobody waits for it
			n, err := op(i, s)
			answer <- outcome{true, n, err}
		}()
	}
	var best *outcome
	for i, s := range f.sides {
		if answers[i] == nil {
			continue
		}
		select {
		case outcomes[i] = <-answers[i]:
		case <-s.gone:
			continue
		}
		if o := &outcomes[i]; best == nil || best.err != nil && (o.err == nil || o.n > best.n) {
			best = o
		}
	}
	if best == nil {
		return 0, errors.New("no side of the mirror is left")
	}
	for i := range outcomes {
		if o := outcomes[i]; o.done && !o.agrees(*best) {
			f.drop(i, o.err)
		}
	}
	f.mu.Lock() // a side that was passed over, or given up, is noted by now
	defer f.mu.Unlock()
	if err := f.broken.Load(); err != nil {
		return best.n, *err
	}
	for i, s := range f.sides {
		if !s.out.Load() && !outcomes[i].done {
			return 0, errors.New("the operation was not done on a side of the mirror")
		}
	}
	if survivor := f.survivor(outcomes); survivor != nil {
		return survivor.n, survivor.err
	}
	return best.n, best.err
}

// survivor returns the outcome at a side that is in step.
func (f *FS) survivor(outcomes []outcome) *outcome {
	for i, s := range f.sides {
		if !s.out.Load() && outcomes[i].done {
			return &outcomes[i]
		}
	}
	return nil
}

// change is each for what has no number.
func (f *FS) change(op func(s *side) error) error {
	_, err := f.each(func(_ int, s *side) (int, error) { return 0, op(s) })
	return err
}

// errOut says that a side was taken out while it was asked.
var errOut = errors.New("the side of the mirror is out of step")

// await asks a side, until it is out: nobody waits for a disk that hangs.
func await[T any](s *side, question func() (T, error)) (T, error) {
	type reply struct {
		answer T
		err    error
	}
	replies := make(chan reply, 1)
	go func() { // it ends with the question; on a disk that hangs nobody waits for it
		answer, err := question()
		replies <- reply{answer, err}
	}()
	select {
	case r := <-replies:
		return r.answer, r.err
	case <-s.gone:
		var none T
		return none, errOut
	}
}

// ask asks one side after the other until one answers. That something is not there only counts when all say so.
func ask[T any](f *FS, question func(i int, s *side) (T, error)) (answer T, err error) {
	err = errOut
	for i := range f.order() {
		s := f.sides[i]
		got, failed := await(s, func() (T, error) { return question(i, s) })
		if failed == nil || errors.Is(failed, io.EOF) {
			return got, failed
		}
		if errors.Is(err, errOut) || errors.Is(err, os.ErrNotExist) && !errors.Is(failed, errOut) {
			err = failed
		}
	}
	return answer, err
}

// Create implements vfs.FS.
func (f *FS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return f.open(name, func(path string) (vfs.File, error) { return f.o.FS.Create(path, category) })
}

// OpenReadWrite implements vfs.FS.
func (f *FS) OpenReadWrite(name string, category vfs.DiskWriteCategory, options ...vfs.OpenOption) (vfs.File, error) {
	return f.open(name, func(path string) (vfs.File, error) { return f.o.FS.OpenReadWrite(path, category, options...) })
}

// OpenDir implements vfs.FS.
func (f *FS) OpenDir(name string) (vfs.File, error) { return f.open(name, f.o.FS.OpenDir) }

// ReuseForWrite implements vfs.FS.
func (f *FS) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return f.openOn(name, func(s *side) (vfs.File, error) {
		return f.o.FS.ReuseForWrite(f.path(s, old), f.path(s, name), category)
	})
}

func (f *FS) open(name string, open func(path string) (vfs.File, error)) (vfs.File, error) {
	return f.openOn(name, func(s *side) (vfs.File, error) { return open(f.path(s, name)) })
}

// openOn opens a file for writing on all sides.
func (f *FS) openOn(name string, open func(s *side) (vfs.File, error)) (vfs.File, error) {
	w := &file{fs: f, name: name, on: make([]handle, len(f.sides))}
	_, err := f.each(func(i int, s *side) (int, error) {
		opened, err := open(s)
		if err == nil {
			w.on[i].set(opened)
		}
		return 0, err
	})
	if err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

// Open implements vfs.FS.
func (f *FS) Open(name string, options ...vfs.OpenOption) (vfs.File, error) {
	return openReader(&reader{fs: f, name: name, options: options})
}

// Link implements vfs.FS.
func (f *FS) Link(old, name string) error {
	return f.change(func(s *side) error { return f.o.FS.Link(f.path(s, old), f.path(s, name)) })
}

// Remove implements vfs.FS.
func (f *FS) Remove(name string) error {
	return f.change(func(s *side) error { return f.o.FS.Remove(f.path(s, name)) })
}

// RemoveAll implements vfs.FS.
func (f *FS) RemoveAll(name string) error {
	return f.change(func(s *side) error { return f.o.FS.RemoveAll(f.path(s, name)) })
}

// Rename implements vfs.FS.
func (f *FS) Rename(old, name string) error {
	return f.change(func(s *side) error { return f.o.FS.Rename(f.path(s, old), f.path(s, name)) })
}

// MkdirAll implements vfs.FS. It makes nothing where a side is not mounted.
func (f *FS) MkdirAll(dir string, perm os.FileMode) error {
	return f.change(func(s *side) error {
		if _, err := f.o.FS.Stat(s.Dir); err != nil {
			return err
		}
		return f.o.FS.MkdirAll(f.path(s, dir), perm)
	})
}

// List implements vfs.FS.
func (f *FS) List(dir string) ([]string, error) {
	return ask(f, func(_ int, s *side) ([]string, error) { return f.o.FS.List(f.path(s, dir)) })
}

// Stat implements vfs.FS.
func (f *FS) Stat(name string) (vfs.FileInfo, error) {
	return ask(f, func(_ int, s *side) (vfs.FileInfo, error) { return f.o.FS.Stat(f.path(s, name)) })
}

// GetDiskUsage implements vfs.FS: of the side with the least space.
func (f *FS) GetDiskUsage(name string) (vfs.DiskUsage, error) {
	var least vfs.DiskUsage
	var err error
	known := false
	for i := range f.order() {
		s := f.sides[i]
		u, failed := await(s, func() (vfs.DiskUsage, error) { return f.o.FS.GetDiskUsage(f.path(s, name)) })
		switch {
		case failed != nil:
			err = failed
		case !known || u.AvailBytes < least.AvailBytes:
			least, known = u, true
		}
	}
	if known {
		return least, nil
	}
	return least, err
}

// Lock implements vfs.FS.
func (f *FS) Lock(name string) (io.Closer, error) {
	locks := &locks{on: make([]atomic.Pointer[io.Closer], len(f.sides))}
	_, err := f.each(func(i int, s *side) (int, error) {
		lock, err := f.o.FS.Lock(f.path(s, name))
		if err == nil {
			locks.on[i].Store(&lock)
		}
		return 0, err
	})
	if err != nil {
		return nil, errors.Join(err, locks.Close())
	}
	return locks, nil
}

// locks are the locks of one file on all sides.
type locks struct {
	on []atomic.Pointer[io.Closer]
}

// Close implements io.Closer.
func (l *locks) Close() error {
	var errs []error
	for i := range l.on {
		if c := l.on[i].Swap(nil); c != nil {
			errs = append(errs, (*c).Close())
		}
	}
	return errors.Join(errs...)
}

// On returns the files of one side alone, for reading; nil when it is out of step.
func (f *FS) On(id cluster.MountpathID) vfs.FS {
	for _, s := range f.sides {
		if s.ID == id && !s.out.Load() {
			return oneSide{f.FS, f, s}
		}
	}
	return nil
}

// oneSide is one side alone, for reading.
type oneSide struct {
	vfs.FS
	f *FS
	s *side
}

// Unwrap implements vfs.FS.
func (o oneSide) Unwrap() vfs.FS { return nil }

// Open implements vfs.FS.
func (o oneSide) Open(name string, options ...vfs.OpenOption) (vfs.File, error) {
	return openReader(&reader{fs: o.f, name: name, options: options, only: o.s})
}
