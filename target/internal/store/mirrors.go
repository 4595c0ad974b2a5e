package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/disk"
	"github.com/aisle-store/aisle/target/internal/meta"
	"github.com/aisle-store/aisle/target/internal/mirror"
)

// Mirrors are mountpaths that lie on several others, for buckets whose objects are to be on so many disks of each target. The node
// makes and removes them by itself: see docs/consistency.md, "Mirrors".

// MirrorRegistry is what the node keeps of its mirrors, durably, and not on a mountpath.
type MirrorRegistry interface {
	// Sides returns which sides of a mirror are in step; none of one that is not registered.
	Sides(id cluster.MountpathID) []cluster.MountpathID
	// SetSides notes which are.
	SetSides(id cluster.MountpathID, inStep []cluster.MountpathID) error
	// Add registers a mirror that is formatted on all its sides, and in step there.
	Add(mp cluster.Mountpath) error
}

const (
	mirrorsName  = "mirrors" // the directory of a mountpath in which sides of mirrors lie
	mirrorWeight = 100
)

func unmadeMirror() *mountpath {
	m := &mountpath{Mountpath: cluster.Mountpath{ID: "mirror"}}
	m.fail(errors.New("the mirror is not made yet"), Events{})
	return m
}

// mirrorDir is what the names of the files of a mirror begin with; there is no such directory.
func mirrorDir(id cluster.MountpathID) string { return "/" + string(id) }

// limit is how long a check may take. What hangs below a mirror is taken out of it first.
func (s *Store) limit(m *mountpath) time.Duration {
	if m.Mirror > 0 {
		return 2 * s.o.HealthLimit
	}
	return s.o.HealthLimit
}

// sides returns where some sides of a mirror lie, by the mountpaths of the options.
func (o *Options) sides(of cluster.MountpathID, ids []cluster.MountpathID) []mirror.Side {
	var sides []mirror.Side
	for _, id := range ids {
		side := mirror.Side{ID: id}
		if at := slices.IndexFunc(o.Mountpaths, func(mp cluster.Mountpath) bool { return mp.ID == id }); at >= 0 {
			side.Dir = o.FS.PathJoin(o.Mountpaths[at].Path, mirrorsName, string(of))
		}
		sides = append(sides, side)
	}
	return sides
}

// openSides opens those sides of a mirror that are in step.
func (m *mountpath) openSides(o *Options) (*mirror.FS, error) {
	if o.Mirrors == nil {
		return nil, errors.New("this node keeps no mirrors")
	}
	inStep := o.Mirrors.Sides(m.ID)
	if len(inStep) == 0 {
		return nil, errors.New("nothing says which of the disks of the mirror are in step")
	}
	return mirror.Open(mirror.Options{
		FS: o.FS, Dir: mirrorDir(m.ID), Sides: o.sides(m.ID, inStep),
		Note: func(left []cluster.MountpathID) error { return o.Mirrors.SetSides(m.ID, left) },
		Lost: func(id cluster.MountpathID, err error) {
			o.Events.background(m.ID, "mirror on "+string(id)+", which is out of step", err)
		},
	}, func(fs vfs.FS, side mirror.Side) error {
		if side.Dir == "" {
			return fmt.Errorf("this target has no mountpath %s", side.ID)
		}
		id, err := disk.ReadIdentity(fs, side.Dir)
		if err == nil && (id.Cluster != o.ClusterID || id.Node != o.Node || id.Mountpath != m.ID) {
			err = disk.ErrForeign
		}
		return err
	})
}

// verifyRange reads a range of a place on every disk that has it, and returns how many bytes that were.
func (m *mountpath) verifyRange(ctx context.Context, place disk.Place, off, n int64) (int64, error) {
	if m.mirror == nil {
		return n, m.disk.VerifyRange(ctx, nil, place, off, n)
	}
	read := int64(0)
	for _, id := range m.mirror.InStep() {
		fs := m.mirror.On(id)
		if fs == nil {
			continue
		}
		err := m.disk.VerifyRange(ctx, fs, place, off, n)
		read += n
		switch {
		case err == nil:
		case ctx.Err() != nil, errors.Is(err, disk.ErrGone), cluster.Is(err, cluster.KindCorrupt):
			return read, err
		case !m.mirror.Drop(id, err):
			return read, err
		}
	}
	return read, nil
}

// fromSide brings the bytes of a place into a new one, from a disk of the mirror that has them whole.
func (m *mountpath) fromSide(ctx context.Context, r *meta.Record, want disk.Place) (disk.Place, error) {
	if m.mirror == nil || want.IsLost() {
		return disk.Place{}, errNoOtherCopy
	}
	err := errNoOtherCopy
	for _, id := range m.mirror.InStep() {
		fs := m.mirror.On(id)
		if fs == nil {
			continue
		}
		if failed := m.disk.VerifyRange(ctx, fs, want, 0, want.Length); failed != nil {
			err = fmt.Errorf("%w: %w", errNoOtherCopy, failed)
			continue
		}
		return m.copyFrom(ctx, fs, r, want)
	}
	return disk.Place{}, err
}

func (m *mountpath) copyFrom(ctx context.Context, fs vfs.FS, r *meta.Record, want disk.Place) (disk.Place, error) {
	in, err := m.disk.OpenOn(fs, want)
	if err != nil {
		return disk.Place{}, err
	}
	defer in.Close()
	w, err := m.disk.Create(ctx, want.Length)
	if err != nil {
		return disk.Place{}, err
	}
	defer w.Abort()
	if _, err := io.Copy(w, io.NewSectionReader(in, 0, want.Length)); err != nil {
		return disk.Place{}, err
	}
	footer, err := meta.EncodeFooter(r)
	if err != nil {
		return disk.Place{}, err
	}
	place, err := w.Seal(ctx, footer)
	if err != nil {
		return disk.Place{}, err
	}
	return m.proved(r, place, want)
}

// dropSides takes disks out of mirrors that have failed as mountpaths: a disk that hangs fails no operation of a mirror.
func (s *Store) dropSides() {
	for _, m := range s.mounted() {
		if m.mirror == nil {
			continue
		}
		for _, id := range m.mirror.InStep() {
			if at := s.mountedAs(id); at != nil {
				if cause := at.lost(); cause != nil {
					m.mirror.Drop(id, cause)
				}
			}
		}
	}
}

// mountedAs returns the mountpath of an id that is mounted, or nil.
func (s *Store) mountedAs(id cluster.MountpathID) *mountpath {
	for _, m := range s.mounted() {
		if m.ID == id {
			return m
		}
	}
	return nil
}

// lost returns nil, or why the disk of a mountpath cannot be relied upon.
func (m *mountpath) lost() error {
	if err := m.failure.Load(); err != nil {
		return *err
	}
	return m.disk.Err()
}

// isWhole reports whether a mirror is used, and in step on all disks that it was made on.
func (s *Store) isWhole(mp cluster.Mountpath) bool {
	m := s.mountedAs(mp.ID)
	return m != nil && m.mirror != nil && m.writeErr() == nil && len(m.mirror.InStep()) == len(mp.SideIDs()) && takesKeys(mp)
}

func takesKeys(mp cluster.Mountpath) bool {
	return mp.State == cluster.MountpathEnabled || mp.State == cluster.MountpathFilling
}

// shaper is what the making of mirrors knows.
type shaper struct {
	made   []cluster.Mountpath // mirrors that are formatted, and that the map has not seen yet
	remade int                 // how often one was made in place of another
	after  time.Duration       // by Options.Clock: not before is one made again
}

// mirrorsNeeded returns on how many mountpaths the layouts of a map keep objects, other than one.
func mirrorsNeeded(m *cluster.Map) []int {
	var copies []int
	for _, l := range m.Layouts {
		if l.Mirror > 0 && !slices.Contains(copies, l.Mirror) {
			copies = append(copies, l.Mirror)
		}
	}
	return copies
}

// beginShaping has shapeMirrors run, unless it does already. Nobody waits for it: a disk may hang while a mirror is made on it.
func (s *Store) beginShaping(ctx context.Context) {
	m := s.council.Map()
	copies := mirrorsNeeded(m)
	if len(copies) == 0 || s.o.Mirrors == nil || !s.namedIn(m) || !s.shaping.CompareAndSwap(false, true) {
		return
	}
	s.work.Go(func() {
		defer s.shaping.Store(false)
		if err := s.shapeMirrors(ctx, m, copies); err != nil && ctx.Err() == nil && !cluster.Is(err, cluster.KindConflict) {
			s.o.Events.background("", "make mirrors", err)
		}
	})
}

// shapeMirrors makes the mirrors that the layouts of the map need of the mountpaths that work, and has those emptied that lack a disk,
// or are not needed any more.
func (s *Store) shapeMirrors(ctx context.Context, m *cluster.Map, copies []int) error {
	self, _ := m.Node(s.o.Node)
	s.shaper.made = slices.DeleteFunc(s.shaper.made, func(mp cluster.Mountpath) bool {
		return slices.ContainsFunc(self.Mountpaths, func(known cluster.Mountpath) bool { return known.ID == mp.ID })
	})
	var disks []cluster.MountpathID
	for _, mp := range cluster.Disks(self.Mountpaths) {
		if at := s.mountedAs(mp.ID); at != nil && at.lost() == nil && takesKeys(mp) {
			disks = append(disks, mp.ID)
		}
	}
	slices.Sort(disks)
	now := slices.DeleteFunc(slices.Clone(self.Mountpaths), func(mp cluster.Mountpath) bool {
		return mp.State == cluster.MountpathFailed && mp.Mirror > 0 && !anyOf(mp.SideIDs(), self.Mountpaths) // an operator says that they are lost
	})
	var err error
	for _, n := range copies {
		if now, err = s.shapeOf(n, disks, now); err != nil {
			return err
		}
	}
	if slices.Equal(now, self.Mountpaths) {
		return nil
	}
	return s.council.SetMountpaths(ctx, self.Remounted+1, now, false, nil)
}

func anyOf(ids []cluster.MountpathID, all []cluster.Mountpath) bool {
	return slices.ContainsFunc(all, func(mp cluster.Mountpath) bool { return slices.Contains(ids, mp.ID) })
}

// shapeOf is shapeMirrors for layouts of so many copies.
func (s *Store) shapeOf(copies int, disks []cluster.MountpathID, all []cluster.Mountpath) ([]cluster.Mountpath, error) {
	first := !slices.ContainsFunc(all, func(mp cluster.Mountpath) bool { return mp.Mirror == copies })
	if len(disks) < copies && !first {
		return all, nil // nothing better can be made
	}
	wanted := mirrorsOf(disks, copies)
	kept := make(map[cluster.MountpathID]bool)
	var fresh []cluster.Mountpath
	for _, sides := range wanted {
		at := slices.IndexFunc(all, func(mp cluster.Mountpath) bool { return mp.Mirror == copies && mp.Sides == sides && s.isWhole(mp) })
		if at >= 0 {
			kept[all[at].ID] = true
			continue
		}
		if !first && s.isTooSoon(disks) {
			return all, nil // what is there goes on
		}
		mp, err := s.makeMirror(copies, sides)
		if err != nil {
			return all, err
		}
		if mp.State = cluster.MountpathFilling; first {
			mp.State = cluster.MountpathEnabled
		}
		fresh = append(fresh, mp)
	}
	if !first && len(fresh) > 0 {
		s.shaper.remade++
		s.shaper.after = s.o.Clock() + time.Duration(s.shaper.remade)*s.o.Health
	}
	for i, mp := range all {
		if mp.Mirror == copies && takesKeys(mp) && !kept[mp.ID] {
			all[i].State = cluster.MountpathDetaching
		}
	}
	return append(all, fresh...), nil
}

// isTooSoon reports whether nothing is made in place of a mirror that lacks a disk: on disks that are full nothing can be moved, and one
// that fails now and then would have a new one made each time.
func (s *Store) isTooSoon(disks []cluster.MountpathID) bool {
	return s.o.Clock() < s.shaper.after ||
		slices.ContainsFunc(disks, func(id cluster.MountpathID) bool { return s.mountedAs(id).disk.Stats().Full })
}

// mirrorsOf returns on which disks mirrors are made: each on so many that follow one another in a ring, so every disk has as much to
// keep, and what one has that fails is on several others. With fewer disks there is one mirror, on all.
func mirrorsOf(disks []cluster.MountpathID, copies int) []string {
	ring := len(disks)
	if ring <= copies {
		ring = min(ring, 1)
	}
	var all []string
	for i := range ring {
		var sides []string
		for k := range min(copies, len(disks)) {
			sides = append(sides, string(disks[(i+k)%len(disks)]))
		}
		slices.Sort(sides)
		all = append(all, strings.Join(sides, ","))
	}
	return all
}

// makeMirror makes an empty mirror and mounts it. What a crash leaves before it is registered is removed with the next start; behind
// that, the next start enters it into the map.
func (s *Store) makeMirror(copies int, sides string) (cluster.Mountpath, error) {
	for _, mp := range s.shaper.made {
		switch {
		case mp.Mirror != copies || mp.Sides != sides:
		case s.mountedAs(mp.ID) == nil:
			return mp, s.useMirror(mp)
		case s.isWhole(mp):
			return mp, nil
		}
	}
	mp := cluster.Mountpath{ID: cluster.MountpathID("mr" + strings.ToLower(rand.Text()[:12])), Weight: mirrorWeight, Mirror: copies, Sides: sides}
	o := s.o
	o.Mountpaths = nil
	for _, m := range s.mounted() {
		o.Mountpaths = append(o.Mountpaths, m.Mountpath)
	}
	on := o.sides(mp.ID, mp.SideIDs())
	var paths []string
	for _, side := range on {
		paths = append(paths, o.FS.PathDir(o.FS.PathDir(side.Dir)))
	}
	mp.Path = strings.Join(paths, "+") + "/" + mirrorsName + "/" + string(mp.ID)
	if err := s.formatSides(&o, mp, on); err != nil {
		for _, side := range on {
			_ = o.FS.RemoveAll(side.Dir) // what stays of it is removed with the next start
		}
		return mp, err
	}
	s.shaper.made = append(s.shaper.made, mp)
	return mp, s.useMirror(mp)
}

// useMirror registers a mirror that is formatted, and mounts it.
func (s *Store) useMirror(mp cluster.Mountpath) error {
	if len(s.o.Mirrors.Sides(mp.ID)) == 0 {
		if err := s.o.Mirrors.Add(mp); err != nil {
			return err
		}
	}
	return s.mount(mp)
}

// formatSides makes the directories of a mirror, and formats them.
func (s *Store) formatSides(o *Options, mp cluster.Mountpath, on []mirror.Side) error {
	for _, side := range on {
		if err := s.mountedAs(side.ID).disk.CheckIdentity(); err != nil { // nothing is made below what is not mounted
			return err
		}
		parent := o.FS.PathDir(side.Dir)
		if err := makeDirs(o.FS, o.FS.PathDir(parent), parent, side.Dir); err != nil {
			return err
		}
	}
	files := mirror.New(mirror.Options{FS: o.FS, Dir: mirrorDir(mp.ID), Sides: on, Note: func([]cluster.MountpathID) error {
		return errors.New("a mirror is made on all of its disks, or not at all")
	}})
	return disk.Format(files, mirrorDir(mp.ID), disk.Identity{Cluster: o.ClusterID, Node: o.Node, Mountpath: mp.ID})
}

// makeDirs makes directories, each in the one before, the first of which is there; durably.
func makeDirs(fs vfs.FS, dirs ...string) error {
	for i, dir := range dirs[1:] {
		if err := fs.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		parent, err := fs.OpenDir(dirs[i])
		if err != nil {
			return err
		}
		if err := errors.Join(parent.Sync(), parent.Close()); err != nil {
			return err
		}
	}
	return nil
}

// removeSides removes, in the background, what mountpaths have of mirrors that are gone, or in step without them: before any mirror is
// made.
func (s *Store) removeSides() {
	if s.o.Mirrors == nil || s.council == nil {
		return
	}
	self, _ := s.council.Map().Node(s.o.Node)
	for _, m := range s.mounted() {
		if m.Mirror > 0 || m.lost() != nil {
			continue
		}
		dir := s.o.FS.PathJoin(m.Path, mirrorsName)
		names, err := s.o.FS.List(dir)
		if err != nil {
			continue // there are none
		}
		for _, name := range names {
			inStep := s.o.Mirrors.Sides(cluster.MountpathID(name))
			isListed := slices.ContainsFunc(self.Mountpaths, func(mp cluster.Mountpath) bool { return string(mp.ID) == name })
			if slices.Contains(inStep, m.ID) || len(inStep) == 0 && isListed { // what is forgotten and used is not removed
				continue
			}
			s.work.Go(func() {
				if err := s.o.FS.RemoveAll(s.o.FS.PathJoin(dir, name)); err != nil {
					s.o.Events.background(m.ID, "remove what is left of a mirror", err)
				}
			})
		}
	}
}
