package store

import (
	"fmt"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// name is the object that an operation is about.
type name struct {
	bucket *cluster.BucketEntry
	key    cluster.ObjectKey
}

// String returns the address of the object, for errors.
func (n name) String() string {
	switch {
	case n.bucket.Bucket.Name == "":
		return fmt.Sprintf("bucket %d", n.bucket.ID)
	case n.key == "":
		return n.bucket.Bucket.String()
	}
	return n.bucket.Bucket.Object(n.key)
}

func (n name) slot() cluster.Slot { return cluster.SlotOf(n.bucket.ID, n.key) }

func (n name) ident() ident { return ident{bucket: n.bucket.ID, key: n.key} }

func (n name) ref(kind meta.Kind) meta.Ref {
	return meta.Ref{Kind: kind, Bucket: n.bucket.ID, Key: n.key}
}

func (n name) fail(op string, kind cluster.Kind, message string) error {
	return cluster.Fail(op, n.String(), kind, message)
}

func (n name) wrap(op string, kind cluster.Kind, err error) error {
	return cluster.E(op, n.String(), kind, err)
}

// wrapRead is wrap, but nil of nil.
func (n name) wrapRead(op string, err error) error {
	if err == nil {
		return nil
	}
	return n.wrap(op, cluster.KindOther, err)
}
