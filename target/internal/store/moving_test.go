package store

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/disk"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// What is under way while the mountpaths of a node change.

// keysOn returns keys that belong on a mountpath of a node.
func (s *several) keysOn(id cluster.NodeID, mp cluster.MountpathID, count int) (keys []string) {
	st := s.store(id)
	for i := 0; len(keys) < count; i++ {
		key := fmt.Sprintf("on-%s-%d", mp, i)
		if st.mountpath(copyName(s.bucket.ID, cluster.ObjectKey(key))).ID == mp {
			keys = append(keys, key)
		}
	}
	return keys
}

// TestGivenUpOnLostDisk: what a write that was given up left on a disk which failed, and was detached, is nobody's on another one:
// the next write of the key frees nothing there.
func TestGivenUpOnLostDisk(t *testing.T) {
	var op atomic.Pointer[func(errorfs.Op) error]
	s := newSeveral(t, 1, 1, bend(&op))
	s.dies = true
	st := s.store("t1")
	want := make(map[string][]byte)
	for i, key := range s.keysOn("t1", "mp1", 12) {
		want[key] = pattern(i, 300_000)
		s.put(key, want[key])
	}
	lost := s.keysOn("t1", "mp2", 1)[0]
	fails := func(what errorfs.Op) error {
		if strings.HasPrefix(what.Path, st.mounted()[1].disk.IndexDir()) && what.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return errorfs.ErrInjected
		}
		return nil
	}
	op.Store(&fails)
	if _, err := s.tryPut(lost, pattern(50, 300_000), ""); !cluster.Is(err, cluster.KindUnavailable) {
		t.Fatal(err)
	}
	dead := st.shard(s.bucket.ID, cluster.ObjectKey(lost)).abandoned(copyName(s.bucket.ID, cluster.ObjectKey(lost)).ident())
	if len(dead) != 1 || len(dead[0].places) != 1 || !s.names("t1", "mp1", dead[0].places[0].File) {
		t.Fatalf("%+v is not what a place on the other disk is called, too", dead)
	}
	s.eventually("the loss is known", func() bool { return s.stateOf("t1", "mp2") == cluster.MountpathFailed })
	if err := st.Detach(context.Background(), "/mp2", true); err != nil {
		t.Fatal(err)
	}
	want[lost] = pattern(51, 1000)
	s.put(lost, want[lost])
	if err := st.mounted()[0].cleaner.drain(context.Background()); err != nil {
		t.Fatal(err)
	}
	for key, data := range want {
		if got := s.get(key); !bytes.Equal(got, data) {
			t.Errorf("%s: other bytes", key)
		}
	}
}

// names reports whether a record on a mountpath names a file of that id.
func (s *several) names(id cluster.NodeID, mp cluster.MountpathID, file disk.FileID) bool {
	for _, m := range s.store(id).mounted() {
		for p, err := range m.index.Places(context.Background()) {
			if err != nil {
				s.t.Fatal(err)
			}
			if m.ID == mp && p.File == file {
				return true
			}
		}
	}
	return false
}

// TestAttachWhileCatchingUp: what a node that catches up has of objects that were deleted while it was away goes, also when it has
// been moved meanwhile to a mountpath that was attached after the catching up began.
func TestAttachWhileCatchingUp(t *testing.T) {
	s := newSeveral(t, 2, 2, func(o *Options) {
		onThree(o)
		o.RetryWindow, o.Sweep = 50*time.Millisecond, 10*time.Millisecond
	})
	want := s.fillKeys(20)
	var gone []string
	for i := range 30 {
		gone = append(gone, fmt.Sprintf("gone%d", i))
		s.put(gone[i], pattern(i, 5000))
	}
	s.crash("t2")
	s.promote("t2", "")
	want["f0"] = []byte("t2 is taken out for this")
	s.put("f0", want["f0"])
	for _, key := range gone {
		s.remove(key)
	}
	s.eventually("the tombstones are gone", func() bool {
		for _, key := range gone {
			if left, _ := s.records("t1", key); len(left) > 0 {
				return false
			}
		}
		return true
	})
	pulling, held := make(chan struct{}, 1), make(chan struct{})
	goOn := sync.OnceFunc(func() { close(held) })
	t.Cleanup(goOn)
	s.setFault(func(from, _ cluster.NodeID, message string) error {
		if from == "t2" && message == "pull" {
			select {
			case pulling <- struct{}{}:
			default:
			}
			<-held
		}
		return nil
	})
	s.admit("t2") // before it is there to drop what it does not hold
	s.start("t2")
	<-pulling
	s.setStates("t2", map[cluster.MountpathID]cluster.MountpathState{"mp1": "", "mp2": "", "mp3": "filling"})
	s.eventually("the keys are where they belong", func() bool { return s.stateOf("t2", "mp3") == cluster.MountpathEnabled })
	moved := 0
	for _, key := range gone {
		left, _ := s.records("t2", key)
		if s.store("t2").mountpath(copyName(s.bucket.ID, cluster.ObjectKey(key))).ID == "mp3" && len(left) > 0 {
			moved++
		}
	}
	if moved == 0 {
		t.Fatal("nothing was moved")
	}
	goOn()
	s.eventually("t2 is in sync", func() bool { return s.allInSync("t2") })
	s.promote("t1", "t2")
	for _, key := range gone {
		s.wantAbsent(key)
	}
	for key, data := range want {
		if got := s.get(key); !bytes.Equal(got, data) {
			t.Errorf("%s: other bytes", key)
		}
	}
}

// TestFrozenWhileKeysMove: who asks what is under a frozen id, or whether uploads are in progress, is not answered while keys are
// between two mountpaths.
func TestFrozenWhileKeysMove(t *testing.T) {
	var s *several
	var once sync.Once
	var work sync.WaitGroup
	s = newSeveral(t, 1, 1, func(o *Options) {
		onThree(o)
		o.moving = func(at string) {
			if at != "between" {
				return
			}
			once.Do(func() {
				answered := make(chan string, 2)
				p, call := s.at("f1", "")
				work.Go(func() {
					f, err := p.store.OpenFrozen(context.Background(), &GetRequest{Call: call, Bucket: s.bucket, Key: "f1"})
					if err != nil || f.IsEmpty() || f.Close() != nil {
						t.Errorf("%v, %v", f, err)
					}
					answered <- "what is frozen"
				})
				work.Go(func() {
					keys, _, err := p.store.FrozenKeys(context.Background(), &ListRequest{Bucket: s.bucket, Map: p.Map().Version}, 1000)
					if len(keys) != 41 || err != nil {
						t.Errorf("%d keys, %v", len(keys), err)
					}
					answered <- "keys"
				})
				select {
				case what := <-answered:
					t.Errorf("%s: answered while keys were between two mountpaths", what)
				case <-time.After(50 * time.Millisecond):
				}
			})
		}
	})
	s.fillKeys(40)
	p, call := s.at("up", "")
	if _, err := p.store.CreateUpload(context.Background(), &CreateUploadRequest{Call: call, Bucket: s.bucket, Key: "up"}); err != nil {
		t.Fatal(err)
	}
	s.setStates("t1", map[cluster.MountpathID]cluster.MountpathState{"mp1": "draining", "mp2": "", "mp3": "filling"})
	s.eventually("the keys are where they belong", func() bool { return s.stateOf("t1", "mp1") == cluster.MountpathDisabled })
	work.Wait()
}

// trigger is a body at whose beginning something happens.
type trigger struct {
	io.Reader
	once sync.Once
	do   func()
}

func (r *trigger) Read(p []byte) (int, error) {
	r.once.Do(r.do)
	return r.Reader.Read(p)
}

// TestInsertWhileKeysMove: an object of a frozen id whose bytes arrive while its key gets another mountpath has them there.
func TestInsertWhileKeysMove(t *testing.T) {
	for _, from := range []string{"extent", "blob", "parts"} {
		s := newSeveral(t, 1, 1, onThree)
		s.put("extent", pattern(1, 50_000))
		s.put("blob", pattern(2, 300_000))
		s.upload("parts", 3)
		want := s.get(from)
		p, call := s.at(from, "")
		f, err := p.store.OpenFrozen(context.Background(), &GetRequest{Call: call, Bucket: s.bucket, Key: cluster.ObjectKey(from)})
		if err != nil {
			t.Fatal(err)
		}
		text, err := f.Encode()
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		if f, err = DecodeFrozen(text); err != nil {
			t.Fatal(err)
		}
		key := s.keysOn("t1", "mp1", 1)[0]
		_, call = s.at(key, "")
		body := &trigger{Reader: bytes.NewReader(want), do: func() {
			s.setStates("t1", map[cluster.MountpathID]cluster.MountpathState{"mp1": "draining", "mp2": "", "mp3": "filling"})
		}}
		err = p.store.Insert(context.Background(), &InsertRequest{Epoch: call.Epoch, Bucket: s.bucket, Key: cluster.ObjectKey(key), Frozen: f, Body: body})
		if err != nil {
			t.Fatalf("%s: %v", from, err)
		}
		s.eventually("the keys are where they belong", func() bool { return s.stateOf("t1", "mp1") == cluster.MountpathDisabled })
		if got := s.get(key); !bytes.Equal(got, want) {
			t.Errorf("%s: other bytes", from)
		}
		s.wantCopies(key, meta.Current)
	}
}

// TestTwoChangesAndAWrite: a write that has looked up where its key belongs between two changes of the mountpaths is waited for before
// the second one counts as carried out.
func TestTwoChangesAndAWrite(t *testing.T) {
	s := newSeveral(t, 1, 1, onThree)
	want := s.fillKeys(10)
	ctx := context.Background()
	block := func(do func(p *process, call Call) error, key string) (goOn func()) {
		p, call := s.at(key, "")
		inside, leave, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		release := sync.OnceFunc(func() { close(leave) })
		t.Cleanup(release)
		hook := func() {
			close(inside)
			<-leave
		}
		p.looked.Store(&hook)
		go func() { done <- do(p, call) }()
		<-inside
		return func() {
			t.Helper()
			release()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
	}
	first := block(func(p *process, call Call) error {
		_, err := p.store.Delete(ctx, &DeleteRequest{Call: call, Bucket: s.bucket, Key: "never-was"})
		return err
	}, "never-was")
	s.setStates("t1", map[cluster.MountpathID]cluster.MountpathState{"mp1": "", "mp2": "", "mp3": "filling"})
	time.Sleep(2 * resilverPause) // it waits for the first one
	key := s.keysOn("t1", "mp1", 1)[0]
	var upload cluster.UploadID
	second := block(func(p *process, call Call) (err error) {
		upload, err = p.store.CreateUpload(ctx, &CreateUploadRequest{Call: call, Bucket: s.bucket, Key: cluster.ObjectKey(key)})
		return err
	}, key)
	s.setStates("t1", map[cluster.MountpathID]cluster.MountpathState{"mp1": "draining", "mp2": "", "mp3": ""})
	first()
	time.Sleep(2 * resilverPause) // time to do it wrong
	second()
	s.eventually("the keys are where they belong", func() bool { return s.stateOf("t1", "mp1") == cluster.MountpathDisabled })
	p, call := s.at(key, "")
	if _, err := p.store.Parts(ctx, &PartsRequest{Call: call, Bucket: s.bucket, Key: cluster.ObjectKey(key), Upload: upload}); err != nil {
		t.Error(err)
	}
	for key, data := range want {
		if got := s.get(key); !bytes.Equal(got, data) {
			t.Errorf("%s: other bytes", key)
		}
	}
}
