package front

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/cluster/intra"
	"github.com/aisle-store/aisle/target/internal/store"
)

// A bucket that was given another layout has another id, and under it the frozen id that it had before. Before anything is
// done with a key, its owner moves there what is under the frozen id: from then on only that counts.
// docs/consistency.md, "Changing a bucket's layout".

// Reads of what is under a frozen id between nodes.
const (
	PathFrozen      = intra.PathPrefix + "frozen" // GET, with a ticket that names bucket and key
	operationFrozen = "Frozen"
	maxFrozen       = 16 << 20 // what is known of a key: the parts of an object take most of it
)

// settle moves a key that is not moved yet. entry is the bucket by the id that it has now.
func (f *Front) settle(ctx context.Context, entry cluster.BucketEntry, key cluster.ObjectKey) error {
	const op = "target/front.settle"
	if entry.Under == 0 {
		return nil
	}
	owner, epoch := f.o.Control.Applied().Map().Owner(cluster.SlotOf(entry.ID, key))
	if owner != f.o.Node.ID {
		return cluster.Fail(op, entry.Bucket.Object(key), cluster.KindUnavailable, "the slot belongs to another node")
	}
	settled, _, err := f.o.Store.Settled(store.Call{Epoch: epoch}, entry, key)
	if err != nil || settled {
		return err
	}
	from, err := f.openFrozen(ctx, entry, key)
	if err != nil {
		return cluster.E(op, entry.Bucket.Object(key), cluster.KindUnavailable, err)
	}
	defer from.close()
	if from.frozen.IsEmpty() {
		return nil
	}
	return f.o.Store.Insert(ctx, &store.InsertRequest{Epoch: epoch, Bucket: entry, Key: key, Frozen: from.frozen, Body: from.body})
}

// frozenSource is what is under a frozen id of a key.
type frozenSource struct {
	frozen *store.Frozen
	body   io.Reader
	close  func() error
}

// openFrozen reads what is under the frozen id, here or at the owner of that key.
func (f *Front) openFrozen(ctx context.Context, entry cluster.BucketEntry, key cluster.ObjectKey) (*frozenSource, error) {
	const op = "target/front.openFrozen"
	m := f.o.Control.Applied().Map()
	slot := cluster.SlotOf(entry.Under, key)
	owner, epoch := m.Owner(slot)
	if owner == f.o.Node.ID {
		frozen, err := f.readFrozen(ctx, entry.Under, key, epoch)
		if err != nil {
			return nil, err
		}
		return &frozenSource{frozen, frozen.Reader(), frozen.Close}, nil
	}
	node, ok := m.Node(owner)
	if !ok {
		return nil, cluster.Fail(op, string(owner), cluster.KindUnavailable, "the owner is not in the map")
	}
	grant := &intra.Grant{
		Dialect: intra.Node, Operation: operationFrozen, Bucket: entry.Bucket, BucketID: entry.Under, Key: key, Slot: slot, Owner: owner,
		Epoch: epoch, MapVersion: m.Version, Gateway: f.o.Node.ID,
	}
	out := httpd.NewRequest(http.MethodGet, PathFrozen, nil, 0)
	out.Header.Add(intra.HeaderTicket, f.o.Tickets.Seal(grant, out))
	in, err := f.o.Peers.Do(ctx, node.IntraAddr, &httpd.OutRequest{Method: out.Method, Target: out.Path, Header: out.Header})
	if err != nil {
		return nil, err
	}
	if in.Status != http.StatusOK {
		defer in.Body.Close()
		text, err := io.ReadAll(io.LimitReader(in.Body, maxErrorBody))
		if err != nil {
			return nil, cluster.E(op, node.IntraAddr, cluster.KindUnavailable, err)
		}
		return nil, intra.ReadError(op, node.IntraAddr, in.Status, &in.Header, text)
	}
	frozen, err := readFrozenHead(in.Body)
	if err != nil {
		return nil, cluster.E(op, node.IntraAddr, cluster.KindUnavailable, joinClose(err, in.Body))
	}
	return &frozenSource{frozen, in.Body, in.Body.Close}, nil
}

// readFrozenHead reads what comes before the bytes of the object.
func readFrozenHead(body io.Reader) (*store.Frozen, error) {
	var size [4]byte
	if _, err := io.ReadFull(body, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxFrozen {
		return nil, errors.New("what is known of a frozen key is too long")
	}
	head := make([]byte, n)
	if _, err := io.ReadFull(body, head); err != nil {
		return nil, err
	}
	return store.DecodeFrozen(head)
}

// readFrozen reads what is under a frozen id here. That the id still is under its bucket is asked afterwards: what has been
// dropped looks as if it had never been.
func (f *Front) readFrozen(ctx context.Context, id cluster.BucketID, key cluster.ObjectKey, epoch cluster.Epoch) (*store.Frozen, error) {
	const op = "target/front.readFrozen"
	over, ok := f.o.Control.Applied().BucketOver(id)
	if !ok {
		return nil, cluster.Fail(op, string(key), cluster.KindUnavailable, "no objects are moved away from that bucket, as far as is known here")
	}
	frozen, err := f.o.Store.OpenFrozen(ctx, &store.GetRequest{Call: store.Call{Epoch: epoch}, Bucket: over.Frozen(), Key: key})
	if err != nil {
		return nil, err
	}
	if _, ok := f.o.Control.Applied().BucketOver(id); !ok {
		err := cluster.Fail(op, over.Bucket.Object(key), cluster.KindUnavailable, "all objects have been moved")
		return nil, errors.Join(err, frozen.Close())
	}
	return frozen, nil
}

// ServeFrozen answers another node's read of what is under a frozen id.
func (f *Front) ServeFrozen(ctx context.Context, g *intra.Grant, req *httpd.Request, rep *httpd.Reply) error {
	const op = "target/front.ServeFrozen"
	subject := g.Bucket.Object(g.Key)
	rep.Operation, rep.Identity = "node.Frozen", g.Identity
	if g.Dialect != intra.Node || g.Operation != operationFrozen || req.Method != http.MethodGet {
		return cluster.Fail(op, subject, cluster.KindDenied, "the request is not the one that was granted")
	}
	frozen, err := f.readFrozen(ctx, g.BucketID, g.Key, g.Epoch)
	if err != nil {
		return cluster.E(op, subject, cluster.KindOther, err)
	}
	head, err := frozen.Encode()
	if err != nil {
		return cluster.E(op, subject, cluster.KindOther, joinClose(err, frozen))
	}
	head = append(binary.BigEndian.AppendUint32(nil, uint32(len(head))), head...)
	rep.Status = http.StatusOK
	rep.Stream(int64(len(head))+frozen.Size(), &frozenBody{head: head, frozen: frozen})
	return nil
}

// frozenBody sends what is known of a key, then the bytes of the object.
type frozenBody struct {
	head   []byte
	frozen *store.Frozen
}

// Next implements httpd.Body.
func (b *frozenBody) Next() (httpd.Section, error) {
	if head := b.head; head != nil {
		b.head = nil
		return httpd.Section{Bytes: head}, nil
	}
	bytes, err := b.frozen.Next()
	return httpd.Section{Bytes: bytes}, err
}

// Close implements httpd.Body.
func (b *frozenBody) Close() error { return b.frozen.Close() }

// Move implements intra.Service: it moves keys that this node owns, or says which are moved.
func (f *Front) Move(ctx context.Context, g *intra.Grant, in *intra.MoveRequest) (*intra.MoveReply, error) {
	const op = "target/front.Move"
	entry, ok := f.o.Control.Applied().BucketByID(in.BucketID)
	if !ok {
		return nil, cluster.Fail(op, g.Bucket.String(), cluster.KindUnavailable, "the bucket is not known here")
	}
	if len(in.Keys) > maxDeleteItems {
		return nil, cluster.Fail(op, entry.Bucket.String(), cluster.KindInvalid, "too many keys in one message")
	}
	reply := &intra.MoveReply{Keys: make([]intra.MovedKey, len(in.Keys))}
	workers, ctx := errgroup.WithContext(ctx)
	workers.SetLimit(moveWorkers)
	for i, key := range in.Keys {
		workers.Go(func() (err error) {
			if in.Look {
				reply.Keys[i], err = f.look(entry, key)
			} else {
				err = f.settle(ctx, entry, key)
			}
			return err
		})
	}
	if err := workers.Wait(); err != nil {
		return nil, cluster.E(op, entry.Bucket.String(), cluster.KindOther, err)
	}
	// A tombstone goes when this node knows that all is moved: what was looked at without it is not to be believed.
	if now, _ := f.o.Control.Applied().BucketByID(in.BucketID); now.Under != entry.Under {
		return nil, cluster.Fail(op, entry.Bucket.String(), cluster.KindUnavailable, "all objects have been moved")
	}
	return reply, nil
}

// look says whether a key is moved, and what it is then.
func (f *Front) look(entry cluster.BucketEntry, key cluster.ObjectKey) (intra.MovedKey, error) {
	_, epoch := f.o.Control.Applied().Map().Owner(cluster.SlotOf(entry.ID, key))
	settled, info, err := f.o.Store.Settled(store.Call{Epoch: epoch}, entry, key)
	moved := intra.MovedKey{Moved: settled}
	if err == nil && info != nil {
		e := statEntry(entry, info)
		moved.Exists, moved.Entry = true, &e
	}
	return moved, err
}

// listFrozen lists a frozen id, of which the caller shows what is not moved. That the id still is under its bucket is asked
// afterwards.
func (f *Front) listFrozen(ctx context.Context, g *intra.Grant, in *intra.ListRequest) (*intra.ListReply, error) {
	const op = "target/front.listFrozen"
	over, _ := f.o.Control.Applied().BucketOver(in.BucketID)
	reply, err := f.list(ctx, over.Frozen(), in)
	if err != nil {
		return nil, cluster.E(op, g.Bucket.String(), cluster.KindOther, err)
	}
	if _, ok := f.o.Control.Applied().BucketOver(in.BucketID); !ok {
		return nil, cluster.Fail(op, g.Bucket.String(), cluster.KindUnavailable, "all objects have been moved")
	}
	return reply, nil
}

// FreezeBucket waits for the writes in flight of a bucket that is being frozen, and says whether uploads are in progress.
func (f *Front) FreezeBucket(ctx context.Context, id cluster.BucketID) (uploads bool, err error) {
	if _, err := f.o.Store.SealBucket(ctx, id); err != nil {
		return false, err
	}
	return f.o.Store.HasUploads(ctx, id)
}

const (
	moveLife  = 5 * time.Second // of one MoveBucket, about
	movePage  = 256             // keys
	moveBytes = 64 << 20        // asked for by one message, about

	moveWorkers = 8 // keys of one message at a time
)
