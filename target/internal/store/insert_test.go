package store

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"reflect"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// conversion is a store with a bucket whose objects are being moved from a frozen id.
type conversion struct {
	*bed
	from cluster.BucketEntry
}

// over gives the bucket of a bed another id, with the old one under it.
func (b *bed) over(id cluster.BucketID) *conversion {
	c := &conversion{bed: b, from: b.bucket}
	b.bucket.ID, b.bucket.Under = id, b.bucket.ID
	c.begin()
	return c
}

// begin tells a store, which has just started, of the conversion.
func (c *conversion) begin() {
	c.authority.set(func(a *authority) {
		a.under = map[cluster.BucketID]cluster.BucketID{c.bucket.ID: c.from.ID}
		a.refuses[c.from.ID] = cluster.Fail("test", "", cluster.KindUnavailable, "frozen")
	})
}

// end ends the conversion: nothing of the frozen id is left.
func (c *conversion) end() {
	c.t.Helper()
	c.authority.set(func(a *authority) { a.under = nil })
	c.bucket.Under = 0
	if err := c.store.DropBucket(context.Background(), c.from.ID); err != nil {
		c.t.Fatal(err)
	}
}

// below does something under the frozen id, as what was in doubt does that goes forward when a slot gets another owner.
func (c *conversion) below(do func()) {
	bucket, refusal := c.bucket, error(nil)
	c.authority.set(func(a *authority) { refusal = a.refuses[c.from.ID]; delete(a.refuses, c.from.ID) })
	c.bucket = c.from
	do()
	c.bucket = bucket
	c.authority.set(func(a *authority) { a.refuses[c.from.ID] = refusal })
}

func (c *conversion) frozenRequest(key string) *GetRequest {
	_, epoch := c.current().Owner(cluster.SlotOf(c.from.ID, cluster.ObjectKey(key)))
	return &GetRequest{Call: Call{Epoch: epoch}, Bucket: c.from, Key: cluster.ObjectKey(key)}
}

// frozen returns what is under the frozen id, as another node would get it.
func (c *conversion) frozen(key string) (*Frozen, []byte) {
	c.t.Helper()
	f, err := c.store.OpenFrozen(context.Background(), c.frozenRequest(key))
	if err != nil {
		c.t.Fatal(err)
	}
	text, body := c.read2(f)
	sent, err := DecodeFrozen(text)
	if err != nil {
		c.t.Fatal(err)
	}
	return sent, body
}

// piece is frozen for a piece of the key.
func (c *conversion) piece(key string, piece FrozenPiece) (*Frozen, []byte) {
	c.t.Helper()
	named, err := ParseFrozenPiece(piece.String())
	if err != nil {
		c.t.Fatal(err)
	}
	f, err := c.store.OpenFrozenPiece(context.Background(), c.frozenRequest(key), named)
	if err != nil {
		c.t.Fatal(err)
	}
	text, body := c.read2(f)
	sent, err := DecodeFrozenPiece(text, piece)
	if err != nil {
		c.t.Fatal(err)
	}
	return sent, body
}

func (c *conversion) read2(f *Frozen) (text, bytes []byte) {
	c.t.Helper()
	defer f.Close()
	text, err := f.Encode()
	if err != nil {
		c.t.Fatal(err)
	}
	body, err := io.ReadAll(f.Reader())
	if err != nil || int64(len(body)) != f.Size() {
		c.t.Fatalf("%d bytes of %d, %v", len(body), f.Size(), err)
	}
	return text, body
}

// inserts moves a key by the calls of whoever owns it: pieces that are missing, at most some of them, and when all are there the rest.
// It reports whether the key is moved.
func (c *conversion) inserts(key string, limit int, into *Store, r InsertRequest) (bool, error) {
	c.t.Helper()
	ctx := context.Background()
	f, body := c.frozen(key)
	r.Key, r.Frozen = cluster.ObjectKey(key), f
	missing, err := into.Missing(ctx, &r)
	if err != nil {
		return false, err
	}
	for i, p := range missing {
		if i == limit {
			return false, nil
		}
		one := r
		piece, data := c.piece(key, p)
		one.Frozen, one.Body = piece, bytes.NewReader(data)
		if err := into.InsertPiece(ctx, &one); err != nil {
			return false, err
		}
	}
	if object, found := f.Newest(); found && f.Pieces() {
		_, body = c.piece(key, object)
	}
	r.Body = bytes.NewReader(body)
	err = into.Insert(ctx, &r)
	return err == nil, err
}

// move inserts what is under the frozen id.
func (c *conversion) move(key string) error {
	c.t.Helper()
	_, err := c.inserts(key, 1000, c.store, InsertRequest{Epoch: c.call(key).Epoch, Bucket: c.bucket})
	return err
}

// moveSome inserts some pieces of a key, and the rest when no more of them are missing; it reports whether that is so.
func (c *conversion) moveSome(key string, limit int) bool {
	c.t.Helper()
	done, err := c.inserts(key, limit, c.store, InsertRequest{Epoch: c.call(key).Epoch, Bucket: c.bucket})
	if err != nil {
		c.t.Fatalf("%s: %v", key, err)
	}
	return done
}

func (c *conversion) mustMove(key string) {
	c.t.Helper()
	if err := c.move(key); err != nil {
		c.t.Fatalf("%s: %v", key, err)
	}
}

func (c *conversion) settled(key string) bool {
	c.t.Helper()
	settled, _, err := c.store.Settled(c.call(key), c.bucket, cluster.ObjectKey(key))
	if err != nil {
		c.t.Fatal(err)
	}
	return settled
}

// TestMove moves objects of every size, with everything that is known of them.
func TestMove(t *testing.T) {
	b := newBed(t, vfs.NewMem(), 2, nil)
	defer b.close()
	before := make(map[string]*Info)
	for i, size := range sizes {
		key := fmt.Sprintf("k%d", i)
		b.put(key, pattern(i+1, size))
		r := b.putRequest(key, pattern(i, size))
		r.Owner, r.Want = "owner", []cluster.ChecksumType{cluster.ChecksumCRC32C}
		r.Headers, r.User = []Pair{{Name: "Content-Type", Value: "text/plain"}}, []Pair{{Name: "mark", Value: "\xff" + key}}
		if _, err := b.store.Put(context.Background(), r); err != nil {
			t.Fatal(err)
		}
		before[key] = nil
	}
	parts := append(append([]byte(nil), pattern(1, 3000)...), pattern(2, 50_000)...)
	u := b.upload("parts")
	r := u.completeRequest(u.part(1, parts[:3000]), u.part(2, parts[3000:]))
	r.SmallParts = true
	if _, err := b.store.Complete(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	before["parts"] = nil
	for key := range before {
		_, info, err := b.read(b.getRequest(key))
		if err != nil {
			t.Fatal(err)
		}
		before[key] = info
	}

	c := b.over(9)
	for key, old := range before {
		if c.settled(key) {
			t.Fatalf("%s is said to be moved", key)
		}
		c.mustMove(key)
		c.mustMove(key)
		data, info, err := c.read(c.getRequest(key))
		if err != nil {
			t.Fatal(err)
		}
		want, i := parts, 0
		if key != "parts" {
			_, _ = fmt.Sscanf(key, "k%d", &i)
			want = pattern(i, sizes[i])
		}
		now := *info
		now.Generation, now.Accessed = old.Generation, old.Accessed
		if !bytes.Equal(data, want) || !c.settled(key) || !reflect.DeepEqual(&now, old) || info.Generation == old.Generation {
			t.Errorf("%s has %d bytes: %+v, want %+v", key, len(data), info, old)
		}
	}
	if _, infos, err := c.store.ObjectParts(context.Background(), c.getRequest("parts")); err != nil || len(infos) != 2 || infos[1].Size != 50_000 {
		t.Errorf("parts: %+v, %v", infos, err)
	}
	c.mustMove("never-was")
	if c.settled("never-was") {
		t.Error("what never was is said to be moved")
	}
	c.restart() // the authority is another: nothing is moved any more, and all is there
	for key := range before {
		if _, _, err := c.read(c.getRequest(key)); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// TestMoveOnlyWhereNothingIs: what was written or deleted since stays, also when the delete was long ago.
func TestMoveOnlyWhereNothingIs(t *testing.T) {
	b, now := later(t, vfs.NewMem())
	defer b.close()
	for _, key := range []string{"written", "deleted"} {
		b.put(key, []byte("old"))
	}
	c := b.over(9)
	late := make(map[string]*Frozen)
	for _, key := range []string{"written", "deleted"} {
		late[key], _ = c.frozen(key)
	}
	c.put("written", []byte("new"))
	c.mustMove("deleted")
	c.delete("deleted")
	for range 3 {
		now.Add(int64(b.store.o.RetryWindow) + 1)
		c.drain()
		c.store.sweepOnce(context.Background())
	}
	insert := func(key string) error {
		return c.store.Insert(context.Background(), &InsertRequest{
			Epoch: c.call(key).Epoch, Bucket: c.bucket, Key: cluster.ObjectKey(key), Frozen: late[key], Body: bytes.NewReader([]byte("old")),
		})
	}
	for key := range late {
		if err := insert(key); err != nil {
			t.Fatal(err)
		}
	}
	if got := c.get("written"); string(got) != "new" {
		t.Errorf("%q", got)
	}
	c.wantAbsent("deleted")

	// When the conversion is over the tombstone goes, and no late insert comes through.
	c.authority.set(func(a *authority) { a.under = nil })
	for range 3 {
		now.Add(int64(b.store.o.RetryWindow) + 1)
		c.drain()
		c.store.sweepOnce(context.Background())
	}
	if c.settled("deleted") {
		t.Error("the tombstone is still there")
	}
	if err := insert("deleted"); !cluster.Is(err, cluster.KindUnavailable) {
		t.Errorf("an insert after the conversion: %v", err)
	}
	c.wantAbsent("deleted")
}

// TestMoveKeepsRequests: a request that ended under the frozen id is not done again under the new one.
func TestMoveKeepsRequests(t *testing.T) {
	b, _ := later(t, vfs.NewMem())
	defer b.close()
	ctx := context.Background()
	requests := make(map[string]*PutRequest)
	put := func(key, data string) *PutRequest {
		r := b.putRequest(key, []byte(data))
		if _, err := b.store.Put(ctx, r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	requests["current"] = put("current", "r0")
	requests["replaced"] = put("replaced", "r0")
	put("replaced", "r1")
	requests["deleted"] = put("deleted", "r0")
	b.delete("deleted")
	requests["written"] = put("written", "r0")

	c := b.over(9)
	for key, r := range requests {
		c.mustMove(key)
		if key == "written" {
			c.put(key, []byte("since"))
		}
		again := c.again(r, []byte("r0"))
		again.Bucket, again.Epoch = c.bucket, c.call(key).Epoch
		if _, err := c.store.Put(ctx, again); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	for key, want := range map[string]string{"current": "r0", "replaced": "r1", "written": "since"} {
		if _, info, _ := c.read(c.getRequest(key)); string(c.get(key)) != want || key == "current" && info.Version != 1 {
			t.Errorf("%s is %q, %+v", key, c.get(key), info)
		}
	}
	c.wantAbsent("deleted")
}

// TestMoveToSeveral moves objects to a slot of several holders, each of which has them then.
func TestMoveToSeveral(t *testing.T) {
	b := newBed(t, vfs.NewMem(), 1, nil)
	defer b.close()
	b.put("plain", pattern(1, 100_000))
	u := b.upload("parts")
	r := u.completeRequest(u.part(1, pattern(2, 30_000)), u.part(2, pattern(3, 100)), u.part(3, pattern(4, 20_000)))
	r.SmallParts = true
	if _, err := b.store.Complete(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	c := &conversion{bed: b, from: b.bucket}
	s := newSeveral(t, 3, 3, nil)
	want := make(map[string][]byte)
	for _, key := range []string{"plain", "parts"} {
		f, body := c.frozen(key)
		want[key] = body
		p, call := s.at(key, "")
		err := p.store.Insert(context.Background(), &InsertRequest{
			Epoch: call.Epoch, Bucket: s.bucket, Key: cluster.ObjectKey(key), Frozen: f, Body: bytes.NewReader(body),
		})
		if err != nil {
			t.Fatal(err)
		}
		s.wantCopies(key, meta.Current)
	}
	for range 2 { // as the owners are, and as the others are
		for key, body := range want {
			if got := s.get(key); !bytes.Equal(got, body) {
				t.Fatalf("%s has other bytes", key)
			}
		}
		for _, id := range []cluster.NodeID{"t1", "t2", "t3"} {
			s.promote(id, map[cluster.NodeID]cluster.NodeID{"t1": "t2", "t2": "t3", "t3": "t1"}[id])
		}
	}
}
