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
	maxFrozen       = 64 << 20 // what is known of a key: parts, and the names of versions, take most of it
)

// settle moves a key that is not moved yet. entry is the bucket by the id that it has now.
func (f *Front) settle(ctx context.Context, entry cluster.BucketEntry, key cluster.ObjectKey) error {
	if entry.Under == 0 {
		return nil
	}
	if settled, _, err := f.isSettled(entry, key); err != nil || settled {
		return err
	}
	release, err := f.settling.take(ctx, settlingKey{entry.ID, key})
	if err != nil {
		return cluster.E("target/front.settle", entry.Bucket.Object(key), cluster.KindUnavailable, err)
	}
	defer release()
	settled, epoch, err := f.isSettled(entry, key)
	if err != nil || settled {
		return err
	}
	return f.moveKey(ctx, entry, key, epoch)
}

// isSettled reports whether a key is moved, and the epoch of its slot, which is this node's.
func (f *Front) isSettled(entry cluster.BucketEntry, key cluster.ObjectKey) (bool, cluster.Epoch, error) {
	owner, epoch := f.o.Control.Applied().Map().Owner(cluster.SlotOf(entry.ID, key))
	if owner != f.o.Node.ID {
		return false, 0, cluster.Fail("target/front.settle", entry.Bucket.Object(key), cluster.KindUnavailable, "the slot belongs to another node")
	}
	settled, _, err := f.o.Store.Settled(store.Call{Epoch: epoch}, entry, key)
	return settled, epoch, err
}

// moveKey moves a key whole: what has bytes besides the current object first, piece by piece, and then all the rest at once. What it
// reads is of one state, because it is of one epoch.
func (f *Front) moveKey(ctx context.Context, entry cluster.BucketEntry, key cluster.ObjectKey, epoch cluster.Epoch) error {
	const op = "target/front.moveKey"
	source := f.frozenKey(entry, key)
	from, err := source.open(ctx)
	if err != nil {
		return cluster.E(op, entry.Bucket.Object(key), cluster.KindUnavailable, err)
	}
	defer from.close()
	if from.frozen.IsEmpty() {
		return nil
	}
	insert := store.InsertRequest{Epoch: epoch, Bucket: entry, Key: key, Frozen: from.frozen, Body: from.body}
	if !from.frozen.Pieces() {
		return f.o.Store.Insert(ctx, &insert)
	}
	missing, err := f.o.Store.Missing(ctx, &insert)
	if err != nil {
		return err
	}
	for _, piece := range missing {
		err := source.with(ctx, piece, func(frozen *store.Frozen, body io.Reader) error {
			return f.o.Store.InsertPiece(ctx, &store.InsertRequest{Epoch: epoch, Bucket: entry, Key: key, Frozen: frozen, Body: body})
		})
		if err != nil {
			return cluster.E(op, entry.Bucket.Object(key), cluster.KindOther, err)
		}
	}
	object, found := from.frozen.Newest()
	if !found {
		return f.o.Store.Insert(ctx, &insert)
	}
	return source.with(ctx, object, func(_ *store.Frozen, body io.Reader) error {
		insert.Body = body
		return f.o.Store.Insert(ctx, &insert)
	})
}

// frozenKey is a key under a frozen id, by one epoch of its slot there.
type frozenKey struct {
	front *Front
	m     *cluster.Map
	grant intra.Grant
}

func (f *Front) frozenKey(entry cluster.BucketEntry, key cluster.ObjectKey) *frozenKey {
	m := f.o.Control.Applied().Map()
	slot := cluster.SlotOf(entry.Under, key)
	owner, epoch := m.Owner(slot)
	return &frozenKey{f, m, intra.Grant{
		Dialect: intra.Node, Operation: operationFrozen, Bucket: entry.Bucket, BucketID: entry.Under, Key: key, Slot: slot, Owner: owner,
		Epoch: epoch, MapVersion: m.Version, Gateway: f.o.Node.ID,
	}}
}

// frozenSource is what is under a frozen id of a key.
type frozenSource struct {
	frozen *store.Frozen
	body   io.Reader
	close  func() error
}

// open reads what is known of the key, and the object if that is all.
func (k *frozenKey) open(ctx context.Context) (*frozenSource, error) {
	return k.read(ctx, "", store.DecodeFrozen)
}

// with calls use with a piece of the key.
func (k *frozenKey) with(ctx context.Context, piece store.FrozenPiece, use func(*store.Frozen, io.Reader) error) error {
	const op = "target/front.frozenKey.with"
	from, err := k.read(ctx, piece.String(), func(head []byte) (*store.Frozen, error) { return store.DecodeFrozenPiece(head, piece) })
	if err != nil {
		return cluster.E(op, k.grant.Bucket.Object(k.grant.Key), cluster.KindUnavailable, err)
	}
	defer from.close()
	return use(from.frozen, from.body)
}

// read reads the key, or the piece of it that is named, here or at the owner of its slot.
func (k *frozenKey) read(ctx context.Context, piece string, decode func([]byte) (*store.Frozen, error)) (*frozenSource, error) {
	const op = "target/front.frozenKey.read"
	f, grant := k.front, k.grant
	if grant.Owner == f.o.Node.ID {
		frozen, err := f.readFrozen(ctx, &grant, piece)
		if err != nil {
			return nil, err
		}
		return &frozenSource{frozen, frozen.Reader(), frozen.Close}, nil
	}
	node, ok := k.m.Node(grant.Owner)
	if !ok {
		return nil, cluster.Fail(op, string(grant.Owner), cluster.KindUnavailable, "the owner is not in the map")
	}
	target := PathFrozen
	if piece != "" {
		target += "?" + piece
	}
	out := httpd.NewRequest(http.MethodGet, target, nil, 0)
	out.Header.Add(intra.HeaderTicket, f.o.Tickets.Seal(&grant, out))
	in, err := f.o.Peers.Do(ctx, node.IntraAddr, &httpd.OutRequest{Method: out.Method, Target: out.Target(), Header: out.Header})
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
	head, err := readFrozenHead(in.Body)
	var frozen *store.Frozen
	if err == nil {
		frozen, err = decode(head)
	}
	if err != nil {
		return nil, cluster.E(op, node.IntraAddr, cluster.KindUnavailable, joinClose(err, in.Body))
	}
	return &frozenSource{frozen, in.Body, in.Body.Close}, nil
}

// readFrozenHead reads what comes before the bytes.
func readFrozenHead(body io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(body, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxFrozen {
		return nil, errors.New("what is known of a frozen key is too long")
	}
	head := make([]byte, n)
	_, err := io.ReadFull(body, head)
	return head, err
}

// readFrozen reads what is under a frozen id here, or a piece of it. That the id still is under its bucket is asked afterwards: what
// has been dropped looks as if it had never been.
func (f *Front) readFrozen(ctx context.Context, g *intra.Grant, piece string) (*store.Frozen, error) {
	const op = "target/front.readFrozen"
	over, ok := f.o.Control.Applied().BucketOver(g.BucketID)
	if !ok {
		return nil, cluster.Fail(op, string(g.Key), cluster.KindUnavailable, "no objects are moved away from that bucket, as far as is known here")
	}
	read := &store.GetRequest{Call: store.Call{Epoch: g.Epoch}, Bucket: over.Frozen(), Key: g.Key}
	var frozen *store.Frozen
	var err error
	if piece == "" {
		frozen, err = f.o.Store.OpenFrozen(ctx, read)
	} else {
		var named store.FrozenPiece
		if named, err = store.ParseFrozenPiece(piece); err == nil {
			frozen, err = f.o.Store.OpenFrozenPiece(ctx, read, named)
		}
	}
	if err != nil {
		return nil, err
	}
	if _, ok := f.o.Control.Applied().BucketOver(g.BucketID); !ok {
		err := cluster.Fail(op, over.Bucket.Object(g.Key), cluster.KindUnavailable, "all objects have been moved")
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
	frozen, err := f.readFrozen(ctx, g, req.Query)
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

// FreezeBucket waits for the writes in flight of a bucket that is being frozen.
func (f *Front) FreezeBucket(ctx context.Context, id cluster.BucketID) error {
	_, err := f.o.Store.SealBucket(ctx, id)
	return err
}

const (
	moveLife  = 5 * time.Second // of one MoveBucket, about
	movePage  = 256             // keys
	moveBytes = 64 << 20        // asked for by one message, about

	moveWorkers = 8 // keys of one message at a time
)
