package raftnode

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
	"pgregory.net/rapid"
)

// store is a place for Stores that outlives them.
type store struct {
	name string
	open func(t testing.TB) *Stores
}

func stores(t testing.TB) []store {
	disk, dir := NewMemoryDisk(), t.TempDir()
	return []store{
		{"memory", func(testing.TB) *Stores { return disk.Open() }},
		{"disk", func(t testing.TB) *Stores {
			s, err := OpenDir(dir, nil)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}},
	}
}

func forEachStore(t *testing.T, f func(t *testing.T, open func() *Stores)) {
	for _, s := range stores(t) {
		t.Run(s.name, func(t *testing.T) { f(t, func() *Stores { return s.open(t) }) })
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestLogs drives a log against a plain map, with restarts.
func TestLogs(t *testing.T) {
	for _, place := range stores(t) {
		t.Run(place.name, func(t *testing.T) {
			s := place.open(t)
			defer func() { s.close() }()
			rapid.Check(t, func(r *rapid.T) {
				model := make(map[uint64]raft.Log)
				must(t, s.logs.DeleteRange(1, 1<<32))
				first, next := uint64(0), rapid.Uint64Range(1, 1000).Draw(r, "start")
				for range rapid.IntRange(1, 15).Draw(r, "steps") {
					switch rapid.IntRange(0, 3).Draw(r, "step") {
					case 0, 1:
						var batch []*raft.Log
						for range rapid.IntRange(1, 5).Draw(r, "entries") {
							log := raft.Log{
								Index: next, Term: rapid.Uint64().Draw(r, "term"), Type: raft.LogType(rapid.IntRange(0, 5).Draw(r, "type")),
								Data: rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(r, "data"), AppendedAt: time.Unix(0, int64(next)),
							}
							if rapid.Bool().Draw(r, "extended") {
								log.Extensions = rapid.SliceOfN(rapid.Byte(), 1, 5).Draw(r, "extensions")
							}
							model[next] = log
							batch = append(batch, &log)
							if first == 0 {
								first = next
							}
							next++
						}
						must(t, s.logs.StoreLogs(batch))
					case 2: // from the beginning, or to the end
						if first == 0 {
							continue
						}
						low, high := first, rapid.Uint64Range(first, next-1).Draw(r, "to")
						if rapid.Bool().Draw(r, "end") {
							low, high = high, next-1
							next = low
						} else {
							first = high + 1
						}
						must(t, s.logs.DeleteRange(low, high))
						for i := low; i <= high; i++ {
							delete(model, i)
						}
						if len(model) == 0 {
							first = 0
						}
					case 3:
						must(t, s.Close())
						s = place.open(t)
					}
					compare(r, s.logs, model, first, next)
				}
			})
		})
	}
}

func compare(r *rapid.T, logs raft.LogStore, model map[uint64]raft.Log, first, next uint64) {
	wantLast := next - 1
	if first == 0 {
		wantLast = 0
	}
	gotFirst, err1 := logs.FirstIndex()
	gotLast, err2 := logs.LastIndex()
	if err := errors.Join(err1, err2); err != nil || gotFirst != first || gotLast != wantLast {
		r.Fatalf("the log has %d to %d, want %d to %d (%v)", gotFirst, gotLast, first, wantLast, err)
	}
	for i := max(first, 2) - 2; i <= next+1; i++ {
		want, ok := model[i]
		var got raft.Log
		err := logs.GetLog(i, &got)
		if !ok {
			if !errors.Is(err, raft.ErrLogNotFound) {
				r.Fatalf("entry %d, which is not there: %v", i, err)
			}
			continue
		}
		same := got.Index == want.Index && got.Term == want.Term && got.Type == want.Type && got.AppendedAt.Equal(want.AppendedAt) &&
			bytes.Equal(got.Data, want.Data) && bytes.Equal(got.Extensions, want.Extensions)
		if err != nil || !same {
			r.Fatalf("entry %d is %+v, want %+v (%v)", i, got, want, err)
		}
	}
}

func TestStable(t *testing.T) {
	forEachStore(t, func(t *testing.T, open func() *Stores) {
		s := open()
		// Raft knows a missing value by this very text.
		if _, err := s.stable.Get([]byte("k")); err == nil || err.Error() != "not found" {
			t.Fatalf("got %v", err)
		}
		if _, err := s.stable.GetUint64([]byte("n")); err == nil || err.Error() != "not found" {
			t.Fatalf("got %v", err)
		}
		for i := range uint64(3) {
			must(t, s.stable.Set([]byte("k"), fmt.Append(nil, i)))
			must(t, s.stable.SetUint64([]byte("n"), 1<<63+i))
			must(t, s.Close())
			s = open()
			if got, err := s.stable.Get([]byte("k")); err != nil || string(got) != fmt.Sprint(i) {
				t.Fatalf("got %q, %v", got, err)
			}
			if got, err := s.stable.GetUint64([]byte("n")); err != nil || got != 1<<63+i {
				t.Fatalf("got %d, %v", got, err)
			}
		}
		must(t, s.Close())
	})
}

func TestSnapshots(t *testing.T) {
	forEachStore(t, func(t *testing.T, open func() *Stores) {
		s := open()
		transport := newEnd(NewNetwork(0), "a", time.Second)
		servers := raft.Configuration{Servers: []raft.Server{{ID: "a", Address: "a"}}}
		put := func(index uint64, finish func(raft.SnapshotSink) error) {
			t.Helper()
			sink, err := s.snapshots.Create(1, index, 2, servers, 1, transport)
			must(t, err)
			_, err = sink.Write(fmt.Append(nil, "state ", index))
			must(t, err)
			must(t, finish(sink))
		}
		for i := range uint64(4) {
			put(i+1, raft.SnapshotSink.Close)
		}
		put(9, raft.SnapshotSink.Cancel)
		_, err := s.snapshots.Create(1, 10, 2, servers, 1, transport) // a crash leaves it unfinished
		must(t, err)
		must(t, s.Close())
		s = open()
		metas, err := s.snapshots.List()
		must(t, err)
		if len(metas) != snapshotsKept || metas[0].Index != 4 || metas[1].Index != 3 {
			t.Fatalf("got %d snapshots, the first %+v", len(metas), metas[0])
		}
		meta, data, err := s.snapshots.Open(metas[0].ID)
		must(t, err)
		body, err := io.ReadAll(data)
		must(t, errors.Join(err, data.Close()))
		if string(body) != "state 4" || meta.Size != 7 || !reflect.DeepEqual(meta.Configuration, servers) || meta.ConfigurationIndex != 1 {
			t.Fatalf("got %q, %+v", body, meta)
		}
		if _, _, err := s.snapshots.Open("none"); err == nil {
			t.Fatal("opened a snapshot that does not exist")
		}
		must(t, s.Close())
	})
}

// TestFrozenMemory writes through stores whose process has crashed: it goes on reading its writes, and nobody else does.
func TestFrozenMemory(t *testing.T) {
	d := NewMemoryDisk()
	dead := d.Open()
	must(t, dead.logs.StoreLog(&raft.Log{Index: 1}))
	dead.freeze()
	must(t, dead.logs.StoreLog(&raft.Log{Index: 2}))
	if last, err := dead.logs.LastIndex(); err != nil || last != 2 {
		t.Fatalf("the dead process reads %d, %v", last, err)
	}
	alive := d.Open()
	if last, err := alive.logs.LastIndex(); err != nil || last != 1 {
		t.Fatalf("the disk has %d, %v", last, err)
	}
	again := d.Open() // without a crash being told
	must(t, alive.logs.StoreLog(&raft.Log{Index: 2}))
	if last, err := again.logs.LastIndex(); err != nil || last != 1 {
		t.Fatalf("a process that was replaced wrote: %d, %v", last, err)
	}
}

func TestFormatIsChecked(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenDir(dir, nil)
	must(t, err)
	must(t, s.Close())
	db, err := openDatabase(dir + "/" + DatabaseName)
	must(t, err)
	must(t, db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketFormat).Put(keyVersion, []byte{9}) }))
	must(t, db.Close())
	if _, err := OpenDir(dir, nil); err == nil || !strings.Contains(err.Error(), "format 09") {
		t.Fatalf("opened another format: %v", err)
	}
}
