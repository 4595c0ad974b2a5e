package store

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aisle-store/aisle/cluster"
)

// A mountpath whose index is lost serves nothing, and nothing on it is collected. After a rebuild every object that has a place
// is back, in its newest version; what was in the index only is absent.
func TestRebuildLostIndex(t *testing.T) {
	fs := vfs.NewMem()
	b := newBed(t, fs, 1, func(o *Options) { o.Health = 50 * time.Millisecond })
	want := make(map[string][]byte)
	for i := range 30 {
		key := fmt.Sprintf("k%02d", i)
		for version := range 1 + i%3 {
			want[key] = pattern(i*10+version, 5000+i*20_000)
			b.put(key, want[key])
		}
	}
	b.put("small", []byte("in the index"))
	b.put("gone", pattern(500, 10_000))
	b.delete("gone")
	b.close()
	if err := fs.RemoveAll("/mp1/index"); err != nil {
		t.Fatal(err)
	}
	b.start()
	_, err := b.store.Stat(context.Background(), b.getRequest("k01"))
	wantKind(t, err, cluster.KindUnavailable)
	if err := b.store.Mountpaths()[0].Err; !strings.Contains(fmt.Sprint(err), "aisle storage rebuild") {
		t.Fatal(err)
	}
	b.close()
	before := len(files(t, fs, "/mp1"))
	dry, err := Rebuild(context.Background(), fs, "/mp1", true)
	if err != nil {
		t.Fatal(err)
	}
	if after := len(files(t, fs, "/mp1")); after != before {
		t.Fatalf("a dry run leaves %d files of %d", after, before)
	}
	did, err := Rebuild(context.Background(), fs, "/mp1", false)
	if err != nil {
		t.Fatal(err)
	}
	if did.IndexError == "" || did.Restored < len(want) || did.Restored != dry.Restored || did.Damaged != 0 || len(did.Names) != did.Restored {
		t.Fatalf("%+v", did)
	}
	b.start()
	defer func() { b.close() }()
	eventually(t, func() bool { return b.store.Mountpaths()[0].Err == nil })
	for key, data := range want {
		if !bytes.Equal(b.get(key), data) {
			t.Fatalf("%s has other bytes", key)
		}
	}
	b.wantAbsent("small")
	b.put("small", []byte("again"))
	b.put("k01", []byte("new"))
	if got := b.get("k01"); string(got) != "new" {
		t.Fatalf("%q", got)
	}
}

// What can be read of a damaged index is taken over, deletes and small objects with it. Objects whose records were in the damaged
// block come from their bodies.
func TestRebuildDamagedIndex(t *testing.T) {
	fs := vfs.NewMem()
	b := newBed(t, fs, 1, func(o *Options) { o.Health = 50 * time.Millisecond })
	marked := pattern(1, 3000)
	for i := range 300 {
		key := fmt.Sprintf("k%03d", i)
		switch {
		case i == 150:
			b.put(key, marked)
		case i%2 == 0:
			b.put(key, pattern(i+2, 2000))
		default:
			b.put(key, pattern(i+2, 6000))
		}
	}
	b.put("deleted", pattern(999, 6000))
	b.delete("deleted")
	b.close()
	b.start() // the log is replayed into a table
	b.close()
	if n := flip(t, fs, "/mp1", marked[1400:1440]); n != 1 {
		t.Fatalf("the bytes stand in %d files", n)
	}
	did, err := Rebuild(context.Background(), fs, "/mp1", false)
	if err != nil {
		t.Fatal(err)
	}
	if did.IndexError != "" || did.Complete || did.Copied < 300 || did.Restored == 0 || did.Restored > 20 {
		t.Fatalf("%+v", did)
	}
	b.start()
	defer func() { b.close() }()
	eventually(t, func() bool { return b.store.Mountpaths()[0].Err == nil })
	lost := 0
	for i := range 300 {
		r := b.getRequest(fmt.Sprintf("k%03d", i))
		got, _, err := b.read(r)
		switch {
		case cluster.Is(err, cluster.KindObjectNotFound) && i%2 == 0: // it lay in the damaged block
			lost++
		case err != nil:
			t.Fatal(i, err)
		case i%2 == 1 && !bytes.Equal(got, pattern(i+2, 6000)):
			t.Fatalf("object %d has other bytes", i)
		}
	}
	if lost == 0 || lost > 20 {
		t.Fatalf("%d small objects are lost", lost)
	}
	b.wantAbsent("deleted")
	if _, err := b.list(b.listRequest()); err != nil {
		t.Fatal(err)
	}
}

// A rebuilt mountpath of a target whose slots have other holders serves nothing: the others have the truth, and give it back.
func TestRebuildShared(t *testing.T) {
	s := newSeveral(t, 2, 2, func(o *Options) { o.Health = 50 * time.Millisecond })
	key, inline := s.owned("t1", 0), s.owned("t1", 1)
	data := pattern(1, 50_000)
	s.put(key, data)
	s.put(inline, []byte("in the index"))
	s.stop("t1")
	fs := s.nodes["t1"].fs
	for _, mp := range mountpaths(2) {
		if err := fs.RemoveAll(mp.Path + "/index"); err != nil {
			t.Fatal(err)
		}
		if _, err := Rebuild(context.Background(), fs, mp.Path, false); err != nil {
			t.Fatal(err)
		}
	}
	s.start("t1")
	for _, k := range []string{key, inline} {
		if _, err := s.tryGet(k); err != nil && !cluster.Is(err, cluster.KindUnavailable) {
			t.Fatalf("what was rebuilt is taken for the truth: %v", err)
		}
	}
	for _, m := range s.store("t1").mounted() {
		if m.err() == nil {
			t.Fatal("a rebuilt mountpath serves while another holder has the truth")
		}
	}
}
