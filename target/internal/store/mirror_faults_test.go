package store

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/aisle-store/aisle/cluster"
)

// TestMirrorCrashWhileMade: a node ends while it makes its first mirrors, at the n-th operation, for each n. What it left is removed or
// used with its next start.
func TestMirrorCrashWhileMade(t *testing.T) {
	for n := range int64(24) {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			after := n * n / 3
			var left atomic.Int64
			left.Store(after)
			s := newSeveralOn(t, 1, 2, cluster.Layout{Copies: 1, Mirror: 2}, func(o *Options) {
				quick(o)
				o.FS = errorfs.Wrap(o.FS, errorfs.InjectorFunc(func(op errorfs.Op) error {
					if strings.Contains(op.Path, "/mirrors") && op.Kind != errorfs.OpRemoveAll && left.Add(-1) < 0 {
						return syscall.EIO
					}
					return nil
				}))
			})
			s.dies = true
			s.eventually("it is being made", func() bool { return left.Load() < 0 || s.isMade("t1") })
			s.crash("t1")
			left.Store(1 << 40)
			s.start("t1")
			s.wholeMirrors("t1")
			want := s.fillKeys(6)
			s.wantAll(want)
			s.crash("t1")
			s.start("t1")
			s.wantAll(want)
			s.wholeMirrors("t1")
			s.eventually("what is not used is removed", func() bool {
				for _, mp := range []string{"/mp1", "/mp2"} {
					names, err := s.nodes["t1"].fs.List(mp + "/mirrors")
					if err != nil {
						t.Fatal(err)
					}
					for _, name := range names {
						if !slices.ContainsFunc(s.mirrors("t1"), func(m cluster.Mountpath) bool { return string(m.ID) == name }) {
							return false
						}
					}
				}
				return true
			})
		})
	}
}

// isMade reports whether the map has a mirror of a node.
func (s *several) isMade(id cluster.NodeID) bool { return len(s.mirrors(id)) > 0 }

// TestMirrorFullDisk: one disk of a mirror has no space left, then the other one has none, either. Writes are refused then, and reads
// go on; with space again all is mirrored again.
func TestMirrorFullDisk(t *testing.T) {
	var one, both atomic.Bool
	s := newMirrored(t, 1, 1, 2, func(o *Options) {
		o.FS = errorfs.Wrap(o.FS, errorfs.InjectorFunc(func(op errorfs.Op) error {
			switch op.Kind {
			case errorfs.OpFileWrite, errorfs.OpFileWriteAt, errorfs.OpFilePreallocate, errorfs.OpCreate:
			default:
				return nil
			}
			data := strings.HasSuffix(op.Path, ".seg") || strings.Contains(op.Path, "/blobs/")
			if one.Load() && strings.HasPrefix(op.Path, "/mp2/mirrors/") || both.Load() && data {
				return syscall.ENOSPC
			}
			return nil
		}))
	})
	want := s.fillKeys(20)
	one.Store(true)
	for i := range 10 {
		key := fmt.Sprintf("f%d", i)
		want[key] = pattern(7+i, 40_000+i)
		s.put(key, want[key])
	}
	s.wantAll(want)
	both.Store(true)
	p, call := s.at("f1", "")
	_, err := p.store.Put(context.Background(), &PutRequest{
		Call: call, Bucket: s.bucket, Key: "f1", Body: bytes.NewReader(pattern(3, 200_000)), Size: 200_000,
	})
	if !cluster.Is(err, cluster.KindNoSpace) {
		t.Fatalf("%v, want that there is no space", err)
	}
	s.wantAll(want)
	s.wantNotPartial("t1")
	if all := s.mirrors("t1"); all[0].State == cluster.MountpathFailed {
		t.Fatalf("%+v", all)
	}
	one.Store(false)
	both.Store(false)
	s.crash("t1")
	s.start("t1")
	s.wantAll(want)
	s.wholeMirrors("t1")
	s.wantAll(want)
	s.nodes["t1"].lose("/mp1")
	s.wantAll(want)
}
