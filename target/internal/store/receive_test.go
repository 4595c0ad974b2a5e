package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aisle-store/aisle/cluster"
)

// trailer is a SumSource that is known only after the body.
type trailer struct {
	body *bytes.Reader
	sums Sums
	err  error
}

func (l trailer) Sums() (Sums, error) {
	if l.body.Len() > 0 {
		return nil, errors.New("asked before the end of the body")
	}
	return l.sums, l.err
}

func sumsOf(data []byte, types ...cluster.ChecksumType) Sums {
	h := newHasher(cluster.ChecksumNone, types, nil)
	h.write(data)
	return h.sums()
}

// Checksums that the request states are verified, over each sort of place, with known and unknown size.
func TestExpectedSums(t *testing.T) {
	b := newBed(t, vfs.NewMem(), 1, nil)
	defer func() { b.close() }()
	b.configure(func(p *cluster.BucketProps) { p.Checksum = cluster.ChecksumXXHash })
	ctx := context.Background()
	for i, size := range sizes {
		for _, typ := range cluster.ChecksumTypes[1:] {
			for _, known := range []bool{true, false} {
				data := pattern(i, size)
				right := sumsOf(data, typ)
				wrong := sumsOf(append([]byte{1}, data...), typ)
				f := func(ok bool, change func(*PutRequest, *bytes.Reader)) {
					t.Helper()
					body := bytes.NewReader(data)
					r := b.putRequest("k", nil)
					r.Body, r.Size = body, -1
					if known {
						r.Size = int64(size)
					}
					change(r, body)
					info, err := b.store.Put(ctx, r)
					if !ok {
						wantKind(t, err, cluster.KindChecksum)
						return
					}
					if err != nil {
						t.Fatal(err)
					}
					if got := info.Sums.Get(cluster.ChecksumXXHash); got == nil {
						t.Fatal("the bucket's checksum is missing")
					}
				}
				f(true, func(r *PutRequest, _ *bytes.Reader) { r.Expect = right })
				f(false, func(r *PutRequest, _ *bytes.Reader) { r.Expect = wrong })
				f(true, func(r *PutRequest, b *bytes.Reader) {
					r.Want, r.Trailer = []cluster.ChecksumType{typ}, trailer{body: b, sums: right}
				})
				f(false, func(r *PutRequest, b *bytes.Reader) {
					r.Want, r.Trailer = []cluster.ChecksumType{typ}, trailer{body: b, sums: wrong}
				})
			}
		}
	}
	b.delete("k")
	b.wantAllFree()
}

// What a client asks for is kept and told; what was only verified is not.
func TestKeptSums(t *testing.T) {
	b := newBed(t, vfs.NewMem(), 1, nil)
	defer func() { b.close() }()
	b.configure(func(p *cluster.BucketProps) { p.Checksum = cluster.ChecksumXXHash })
	data := []byte("123456789")
	r := b.putRequest("k", data)
	r.Want = []cluster.ChecksumType{cluster.ChecksumCRC32C}
	r.Expect = sumsOf(data, cluster.ChecksumSHA256)
	info, err := b.store.Put(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	if len(info.Sums) != 2 || info.Sums.Get(cluster.ChecksumCRC32C) == nil || !strings.HasSuffix(info.ETag, "-1") {
		t.Fatalf("%+v", info)
	}
	r = b.putRequest("k", data)
	r.Expect = sumsOf(data, cluster.ChecksumMD5) // Content-MD5: computed anyway, so it becomes the ETag
	if info, err = b.store.Put(context.Background(), r); err != nil || info.ETag != "25f9e794323b453885f5181f1b624d0b" {
		t.Fatalf("%+v %v", info, err)
	}
	list := b.listRequest()
	list.Details = true
	for e, err := range b.store.List(context.Background(), list) {
		if err != nil || e.ChecksumType != cluster.ChecksumXXHash || len(e.Checksum) != 16 || e.Accessed.IsZero() {
			t.Fatalf("%+v %v", e, err)
		}
	}
}

// A body that does not come whole writes nothing, whatever its size, and its error comes back with its kind.
func TestBrokenBodies(t *testing.T) {
	b := newBed(t, vfs.NewMem(), 1, nil)
	defer func() { b.close() }()
	ctx := context.Background()
	broken := cluster.Fail("front", "", cluster.KindTimeout, "the client is slow")
	for i, size := range sizes {
		data := pattern(i, size)
		f := func(kind cluster.Kind, declared int64, body io.Reader) {
			t.Helper()
			r := b.putRequest("k", nil)
			r.Body, r.Size = body, declared
			_, err := b.store.Put(ctx, r)
			wantKind(t, err, kind)
		}
		f(cluster.KindTimeout, int64(size)+10, io.MultiReader(bytes.NewReader(data), iotest.ErrReader(broken)))
		f(cluster.KindTimeout, -1, io.MultiReader(bytes.NewReader(data), iotest.ErrReader(broken)))
		f(cluster.KindInvalid, -1, io.MultiReader(bytes.NewReader(data), iotest.ErrReader(io.ErrUnexpectedEOF)))
		f(cluster.KindInvalid, int64(size)+1, bytes.NewReader(data))
		if size > 0 {
			f(cluster.KindInvalid, int64(size)-1, bytes.NewReader(data))
		}
		canceled, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := b.store.Put(canceled, b.putRequest("k", data)); err == nil {
			t.Fatal("a canceled request writes")
		}
		b.put(fmt.Sprintf("whole%d", i), data)
		r := b.putRequest("one by one", nil)
		r.Body, r.Size = iotest.OneByteReader(bytes.NewReader(data)), -1
		if size > 5000 {
			r.Body = iotest.HalfReader(bytes.NewReader(data))
		}
		if _, err := b.store.Put(ctx, r); err != nil || !bytes.Equal(b.get("one by one"), data) {
			t.Fatal(err)
		}
		b.delete("one by one")
		b.delete(fmt.Sprintf("whole%d", i))
	}
	b.wantAbsent("k")
	b.wantAllFree()
}
