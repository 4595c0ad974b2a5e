package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/meta"
	"github.com/aisle-store/aisle/target/internal/sse"
)

// testMaster seals the keys of tests.
var testMaster = bytes.Repeat([]byte{9}, sse.KeySize)

// testKeys opens what testEncrypt has sealed.
type testKeys struct{ refuse error }

func (k testKeys) Check(*Encryption, bool, int64) error { return k.refuse }

func (k testKeys) Open(e *Encryption, sealed []byte, part int, size int64) ([]byte, error) {
	return sse.Open(testMaster, sealed, sse.Binding(part, size, e.Mode))
}

func testEncrypt(mode string) *Encrypt {
	return &Encrypt{Encryption: Encryption{Mode: mode}, Seal: func(key []byte, part int, size int64) []byte {
		return sse.Seal(testMaster, 0, key, sse.Binding(part, size, mode))
	}}
}

func (s *several) encrypt() *Encrypt {
	if !s.encrypts {
		return nil
	}
	return testEncrypt(S3Mode)
}

func (s *several) encryption() *Encryption {
	if !s.encrypts {
		return nil
	}
	return &Encryption{Mode: S3Mode}
}

func (s *several) encryptPart(upload *Encryption) (*Encrypt, error) {
	if (upload != nil) != s.encrypts {
		return nil, errors.New("the upload does not say how it is encrypted")
	}
	return s.encrypt(), nil
}

// contains reports whether a file holds bytes.
func contains(t *testing.T, fs vfs.FS, path string, want []byte) bool {
	t.Helper()
	names, err := fs.List(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		at := fs.PathJoin(path, name)
		info, err := fs.Stat(at)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			if contains(t, fs, at, want) {
				return true
			}
			continue
		}
		f, err := fs.Open(at)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(f)
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, want) {
			return true
		}
	}
	return false
}

// marked is data in which every 1,000 bytes, and the end, have a mark that compresses badly.
func marked(n int) (data, mark []byte) {
	mark = []byte("Xq7#kf0!aZ_plain_Wv93")
	data = pattern(n, n)
	for i := 0; i+len(mark) <= n; i += 1000 {
		copy(data[i:], mark)
	}
	copy(data[max(0, n-len(mark)):], mark)
	return data, mark
}

func TestEncryption(t *testing.T) {
	b := newBed(t, vfs.NewMem(), 2, nil)
	defer b.close()
	ctx := context.Background()
	random := rand.New(rand.NewPCG(1, 2))
	for _, mode := range []string{S3Mode, KMSMode} {
		for _, size := range append([]int{30, 4064, 4065, 65535, 65537}, sizes...) {
			for _, known := range []bool{true, false} {
				key := fmt.Sprintf("%s%d%v", mode, size, known)
				data, mark := marked(size)
				r := b.putRequest(key, data)
				r.Encrypt, r.Want = testEncrypt(mode), []cluster.ChecksumType{cluster.ChecksumCRC32C}
				if !known {
					r.Size = -1
				}
				info, err := b.store.Put(ctx, r)
				if err != nil {
					t.Fatal(err)
				}
				md5 := strings.TrimSuffix(info.ETag, "-1") == info.ETag
				if info.Size != int64(size) || md5 != (mode == S3Mode) || info.Sums.Get(cluster.ChecksumCRC32C) == nil || (info.Sums.Get(cluster.ChecksumMD5) != nil) != md5 {
					t.Fatalf("%s: %+v", key, info)
				}
				if size >= len(mark) && contains(t, b.fs, "/", mark) {
					t.Fatalf("%s lies in the clear", key)
				}
				b.wantRanges(key, data, random)
			}
		}
	}
	if _, _, err := b.read(b.getRequest("AES2561048576true")); !cluster.Is(err, cluster.KindInvalid) {
		t.Fatalf("read without keys: %v", err)
	}
	refused := errors.New("refused")
	r := b.getRequest("AES256100true")
	r.Keys, r.If = testKeys{refused}, Conditions{Match: ETags{Tags: []string{"other"}}}
	if _, err := b.store.Stat(ctx, r); !errors.Is(err, refused) {
		t.Fatalf("conditions told of an object that may not be read: %v", err)
	}
	plain, mark := marked(100)
	b.put("plain", plain)
	if !contains(t, b.fs, "/", mark) {
		t.Fatal("the search finds nothing")
	}
	b.restart()
	for _, size := range sizes {
		data, _ := marked(size)
		b.wantRanges(fmt.Sprintf("AES256%dtrue", size), data, random)
	}
}

func (b *bed) wantRanges(key string, data []byte, random *rand.Rand) {
	b.t.Helper()
	for i := range 8 {
		r := b.getRequest(key)
		r.Keys = testKeys{}
		want := data
		if i > 0 && len(data) > 0 {
			first := random.IntN(len(data))
			last := first + random.IntN(len(data)-first)
			r.Range, want = &Range{First: int64(first), Last: int64(last)}, data[first:last+1]
		}
		got, info, err := b.read(r)
		if err != nil || !bytes.Equal(got, want) || info.Size != int64(len(data)) {
			b.t.Fatalf("%s, %+v: %d bytes, not %d: %v", key, r.Range, len(got), len(want), err)
		}
	}
}

// TestEncryptedUpload makes an object of encrypted parts, updates it, and moves it and others to another layout.
func TestEncryptedUpload(t *testing.T) {
	b := newBed(t, vfs.NewMem(), 2, nil)
	defer b.close()
	ctx := context.Background()
	random := rand.New(rand.NewPCG(1, 2))
	id, err := b.store.CreateUpload(ctx, &CreateUploadRequest{Call: b.call("u"), Bucket: b.bucket, Key: "u", Encryption: &Encryption{Mode: KMSMode}})
	if err != nil {
		t.Fatal(err)
	}
	u := &uploading{bed: b, key: "u", id: id}
	var whole []byte
	var parts []CompletePart
	for i, size := range []int{100, 0, 70_000, 4000, 131_072} {
		data, _ := marked(size)
		r := u.partRequest(3*i+2, data)
		if _, err := b.store.PutPart(ctx, r); !cluster.Is(err, cluster.KindInvalid) {
			t.Fatalf("a part in the clear: %v", err)
		}
		r = u.partRequest(3*i+2, data)
		r.Encrypt = func(e *Encryption) (*Encrypt, error) { return testEncrypt(e.Mode), nil }
		info, err := b.store.PutPart(ctx, r)
		if err != nil || info.Size != int64(size) || info.Encryption == nil {
			t.Fatal(info, err)
		}
		whole, parts = append(whole, data...), append(parts, CompletePart{Number: 3*i + 2, ETag: info.ETag})
	}
	complete := u.completeRequest(parts...)
	complete.SmallParts = true
	refused := errors.New("refused")
	complete.Check = func(*UploadInfo) error { return refused }
	if _, err := b.store.Complete(ctx, complete); !errors.Is(err, refused) {
		t.Fatal(err)
	}
	complete.Check, complete.Call = nil, b.call("u")
	info, err := b.store.Complete(ctx, complete)
	if err != nil || info.Encryption == nil || info.Size != int64(len(whole)) {
		t.Fatal(info, err)
	}
	b.wantRanges("u", whole, random)
	if _, err := b.store.Update(ctx, &UpdateRequest{Call: b.call("u"), Bucket: b.bucket, Key: "u", Edit: func(md *Metadata) { md.User = []Pair{{Name: "a", Value: "b"}} }}); err != nil {
		t.Fatal(err)
	}
	b.wantRanges("u", whole, random)
	_, mark := marked(100)
	if contains(t, b.fs, "/", mark) {
		t.Fatal("parts lie in the clear")
	}
	for _, size := range sizes {
		data, _ := marked(size)
		r := b.putRequest(fmt.Sprint("k", size), data)
		r.Encrypt = testEncrypt(S3Mode)
		if _, err := b.store.Put(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	c := b.over(9)
	for _, size := range sizes {
		data, _ := marked(size)
		c.mustMove(fmt.Sprint("k", size))
		c.wantRanges(fmt.Sprint("k", size), data, random)
	}
	c.mustMove("u")
	c.wantRanges("u", whole, random)
	if contains(t, b.fs, "/", mark) {
		t.Fatal("what was moved lies in the clear")
	}
}

// TestEncryptedDamage: bytes that are not what was encrypted are never given, also when they have the checksum of their place.
func TestEncryptedDamage(t *testing.T) {
	b := newBed(t, vfs.NewMem(), 1, nil)
	defer b.close()
	r := b.putRequest("k", pattern(1, 100_000))
	r.Encrypt = testEncrypt(S3Mode)
	r.Encrypt.Seal = func(_ []byte, part int, size int64) []byte { // the key of something else
		return sse.Seal(testMaster, 0, sse.NewKey(), sse.Binding(part, size, S3Mode))
	}
	if _, err := b.store.Put(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	read := b.getRequest("k")
	read.Keys = testKeys{}
	if data, _, err := b.read(read); !cluster.Is(err, cluster.KindCorrupt) || len(data) > 0 {
		t.Fatalf("%d bytes, %v", len(data), err)
	}
}

// TestOldRecords: what was written before there was encryption reads as it did.
func TestOldRecords(t *testing.T) {
	r := &meta.Record{Fields: meta.Fields{Size: 5, Inline: []byte("12345")}}
	if r.Stored() != 5 {
		t.Fatal(r.Stored())
	}
	if p := (meta.Part{Size: 7}); p.Stored() != 7 {
		t.Fatal(p.Stored())
	}
}
