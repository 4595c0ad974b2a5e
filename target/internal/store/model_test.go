package store

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/aisle-store/aisle/cluster"
)

// model is what a store must be: a map, and the outcome of every write that succeeded.
type model struct {
	*bed
	mem     *vfs.MemFS
	objects map[string]object
	made    []replayable
	seed    int
}

type object struct {
	value
	etag    string
	version int64
	parts   int
}

// replayable is a write that was acknowledged; it may be sent again at any time within the retry window.
type replayable struct {
	again func() (etag string, err error)
	etag  string
}

// modelKeys are chosen to be awkward: prefixes of one another, delimiters at every place, NUL, the highest bytes.
var modelKeys = []string{"a", "a/", "a/b", "a/b/c", "a0", "b", "b\x00", "b\x00c", "b/../c", "ü/ü", "\x7f", "\U0010FFFF"}

func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		mem := vfs.NewCrashableMem()
		m := &model{mem: mem, objects: make(map[string]object)}
		m.bed = newBed(t, mem, rapid.IntRange(1, 3).Draw(rt, "mountpaths"), func(o *Options) {
			o.InlineMax = rapid.SampledFrom([]int{-1, 64, 4096}).Draw(rt, "inline")
		})
		m.configure(func(p *cluster.BucketProps) {
			p.Checksum = rapid.SampledFrom(cluster.ChecksumTypes).Draw(rt, "checksum")
		})
		defer func() { m.close() }()
		rt.Repeat(map[string]func(*rapid.T){
			"put":       m.putAny,
			"put again": m.putAny,
			"delete":    m.deleteAny,
			"update":    m.updateAny,
			"multipart": m.multipartAny,
			"replay":    m.replayAny,
			"list":      m.listAny,
			"range":     m.rangeAny,
			"restart":   func(*rapid.T) { m.restart() },
			"crash":     m.crash,
			"":          m.verify,
		})
	})
}

func (m *model) key(rt *rapid.T) string { return rapid.SampledFrom(modelKeys).Draw(rt, "key") }

func (m *model) bytes(rt *rapid.T) []byte {
	m.seed++
	return pattern(m.seed, rapid.SampledFrom([]int{0, 1, 63, 64, 65, 4096, 4097, 70_000, 270_000}).Draw(rt, "size"))
}

// conditions draws a condition of a write and says whether it holds.
func (m *model) conditions(rt *rapid.T, key string) (Conditions, bool) {
	o, exists := m.objects[key]
	switch rapid.SampledFrom([]string{"none", "none", "create", "match", "mismatch"}).Draw(rt, "condition") {
	case "create":
		return Conditions{NoneMatch: ETags{Any: true}}, !exists
	case "match":
		return Conditions{Match: ETags{Tags: []string{o.etag}}}, exists
	case "mismatch":
		return Conditions{Match: ETags{Tags: []string{"other"}}}, false
	}
	return Conditions{}, true
}

// settle compares an outcome with what must have happened.
func (m *model) settle(rt *rapid.T, what string, err error, holds bool) bool {
	if holds && err != nil {
		rt.Fatalf("%s: %v", what, err)
	}
	if !holds && !cluster.Is(err, cluster.KindPreconditionFailed) && !cluster.Is(err, cluster.KindObjectNotFound) {
		rt.Fatalf("%s: %v, want a false condition", what, err)
	}
	return holds
}

func (m *model) putAny(rt *rapid.T) {
	key, data := m.key(rt), m.bytes(rt)
	r := m.putRequest(key, data)
	var holds bool
	r.If, holds = m.conditions(rt, key)
	if rapid.Bool().Draw(rt, "unknown size") {
		r.Size = -1
	}
	info, err := m.store.Put(context.Background(), r)
	if !m.settle(rt, "put", err, holds) {
		return
	}
	before := m.objects[key]
	if info.Version != before.version+1 || info.Size != int64(len(data)) {
		rt.Fatalf("put: %+v after version %d", info, before.version)
	}
	m.objects[key] = object{value: value{data: data}, etag: info.ETag, version: info.Version}
	m.made = append(m.made, replayable{etag: info.ETag, again: func() (string, error) {
		info, err := m.store.Put(context.Background(), m.again(r, data))
		if err != nil {
			return "", err
		}
		return info.ETag, nil
	}})
}

func (m *model) deleteAny(rt *rapid.T) {
	key := m.key(rt)
	r := &DeleteRequest{Call: m.call(key), Bucket: m.bucket, Key: cluster.ObjectKey(key)}
	var holds bool
	r.If, holds = m.conditions(rt, key)
	if _, exists := m.objects[key]; !exists {
		holds = true // there is nothing that could be another object
	}
	got, err := m.store.Delete(context.Background(), r)
	if !m.settle(rt, "delete", err, holds) {
		return
	}
	if _, exists := m.objects[key]; got.Existed != exists {
		rt.Fatalf("delete says existed %v, want %v", got.Existed, exists)
	}
	delete(m.objects, key)
	if !got.Existed {
		return // remembered within the epoch only: there is nothing to tell it from a first attempt later
	}
	m.made = append(m.made, replayable{again: func() (string, error) {
		r := *r
		r.Epoch = m.call(key).Epoch
		_, err := m.store.Delete(context.Background(), &r)
		return "", err
	}})
}

func (m *model) updateAny(rt *rapid.T) {
	key, note := m.key(rt), rapid.StringN(0, 5, -1).Draw(rt, "note")
	o, exists := m.objects[key]
	info, err := m.store.Update(context.Background(), &UpdateRequest{
		Call: m.call(key), Bucket: m.bucket, Key: cluster.ObjectKey(key),
		Edit: func(md *Metadata) { md.User = []Pair{{Name: "note", Value: note}} },
	})
	if !m.settle(rt, "update", err, exists) {
		return
	}
	if info.ETag != o.etag || info.Version != o.version {
		rt.Fatalf("update: %+v, want ETag %s", info, o.etag)
	}
	o.note = note
	m.objects[key] = o
}

func (m *model) multipartAny(rt *rapid.T) {
	ctx, key := context.Background(), m.key(rt)
	k := cluster.ObjectKey(key)
	id, err := m.store.CreateUpload(ctx, &CreateUploadRequest{Call: m.call(key), Bucket: m.bucket, Key: k})
	if err != nil {
		rt.Fatal(err)
	}
	var whole []byte
	var parts []CompletePart
	for n := range rapid.IntRange(1, 5).Draw(rt, "parts") {
		data := m.bytes(rt)
		info, err := m.store.PutPart(ctx, &PutPartRequest{Call: m.call(key), Bucket: m.bucket, Key: k, Upload: id, Number: n + 1, Body: bytes.NewReader(data), Size: -1})
		if err != nil {
			rt.Fatal(err)
		}
		if n == 0 || rapid.Bool().Draw(rt, "used") {
			whole = append(whole, data...)
			parts = append(parts, CompletePart{Number: n + 1, ETag: info.ETag})
		}
	}
	switch rapid.SampledFrom([]string{"complete", "complete", "abort", "leave", "crash"}).Draw(rt, "end") {
	case "abort":
		if err := m.store.Abort(ctx, &AbortRequest{Call: m.call(key), Bucket: m.bucket, Key: k, Upload: id}); err != nil {
			rt.Fatal(err)
		}
		return
	case "leave":
		return
	case "crash":
		m.crash(rt)
	}
	r := &CompleteRequest{Call: m.call(key), Bucket: m.bucket, Key: k, Upload: id, Parts: parts, Size: int64(len(whole)), SmallParts: true}
	info, err := m.store.Complete(ctx, r)
	if err != nil {
		rt.Fatal(err)
	}
	m.objects[key] = object{value: value{data: whole}, etag: info.ETag, version: m.objects[key].version + 1, parts: len(parts)}
	m.made = append(m.made, replayable{etag: info.ETag, again: func() (string, error) {
		r := *r
		r.Epoch = m.call(key).Epoch
		info, err := m.store.Complete(ctx, &r)
		if err != nil {
			return "", err
		}
		return info.ETag, nil
	}})
}

// replayAny sends an acknowledged write again: it has the same outcome, and changes nothing.
func (m *model) replayAny(rt *rapid.T) {
	if len(m.made) == 0 {
		return
	}
	r := rapid.SampledFrom(m.made).Draw(rt, "write")
	if etag, err := r.again(); err != nil || etag != r.etag {
		rt.Fatalf("replay: ETag %s, %v; want %s", etag, err, r.etag)
	}
}

func (m *model) rangeAny(rt *rapid.T) {
	key := m.key(rt)
	want := m.objects[key].data
	r := m.getRequest(key)
	r.Range = &Range{First: rapid.Int64Range(-1, int64(len(want))+1).Draw(rt, "first"), Last: rapid.Int64Range(-1, int64(len(want))+1).Draw(rt, "last")}
	if r.Range.First < 0 && r.Range.Last < 0 {
		r.Range.Last = 0
	}
	offset, length, ok := r.Range.within(int64(len(want)))
	got, _, err := m.read(r)
	switch _, exists := m.objects[key]; {
	case !exists:
		if !cluster.Is(err, cluster.KindObjectNotFound) {
			rt.Fatalf("range of an absent object: %v", err)
		}
	case !ok:
		if !cluster.Is(err, cluster.KindRange) {
			rt.Fatalf("range %+v of %d bytes: %v", r.Range, len(want), err)
		}
	case err != nil || !bytes.Equal(got, want[offset:offset+length]):
		rt.Fatalf("range %+v of %d bytes: %d bytes, %v", r.Range, len(want), len(got), err)
	}
}

// listAny lists with drawn parameters, in pages, and compares with the model.
func (m *model) listAny(rt *rapid.T) {
	r := m.listRequest()
	r.Prefix = rapid.SampledFrom([]string{"", "", "a", "a/", "b", "b\x00", "ü", "none"}).Draw(rt, "prefix")
	r.Delimiter = rapid.SampledFrom([]string{"", "/", "/", "b", "..", "\x00"}).Draw(rt, "delimiter")
	r.After = rapid.SampledFrom(append([]string{"", "", "0", "a/b/", "z"}, modelKeys...)).Draw(rt, "after")
	r.Details = rapid.Bool().Draw(rt, "details")
	page := rapid.IntRange(1, 4).Draw(rt, "page")
	want := wantList(slices.Collect(maps.Keys(m.objects)), r)
	var got []string
	for {
		n := 0
		for e, err := range m.store.List(context.Background(), r) {
			if err != nil {
				rt.Fatal(err)
			}
			m.compareEntry(rt, e)
			line := string(e.Key)
			r.After = line
			if e.Prefix {
				line += "*"
			}
			got = append(got, line)
			if n++; n == page {
				break
			}
		}
		if n < page {
			break
		}
	}
	if !slices.Equal(got, want) {
		rt.Fatalf("list %+v: %q, want %q", r, got, want)
	}
}

func (m *model) compareEntry(rt *rapid.T, e cluster.Entry) {
	if e.Prefix {
		return
	}
	if o := m.objects[string(e.Key)]; e.Size != int64(len(o.data)) || e.ETag != o.etag || e.Version != o.version {
		rt.Fatalf("entry %+v, want %+v", e, o)
	}
}

// wantList is a list as the definition has it.
func wantList(keys []string, r *ListRequest) (want []string) {
	slices.Sort(keys)
	for _, key := range keys {
		if !strings.HasPrefix(key, r.Prefix) || key <= r.After {
			continue
		}
		line := key
		if r.Delimiter != "" {
			if i := strings.Index(key[len(r.Prefix):], r.Delimiter); i >= 0 {
				line = key[:len(r.Prefix)+i+len(r.Delimiter)]
				if line == r.After {
					continue
				}
				line += "*"
			}
		}
		if len(want) == 0 || want[len(want)-1] != line {
			want = append(want, line)
		}
	}
	return want
}

// crash ends the process and the power at once: what is not synced may be lost.
func (m *model) crash(rt *rapid.T) {
	clone := m.mem.CrashClone(vfs.CrashCloneCfg{
		UnsyncedDataPercent: rapid.SampledFrom([]int{0, 30, 100}).Draw(rt, "unsynced"),
		RNG:                 rand.New(rand.NewPCG(uint64(m.seed), 1)),
	})
	m.close()
	m.mem, m.fs = clone, clone
	m.start()
}

// verify reads everything.
func (m *model) verify(rt *rapid.T) {
	for _, key := range modelKeys {
		o, exists := m.objects[key]
		got, err := m.look(key)
		switch {
		case err != nil:
			rt.Fatalf("%q: %v", key, err)
		case !exists && got != nil, exists && !got.equal(&o.value):
			rt.Fatalf("%q has %s, want %s", key, got, &o.value)
		}
	}
	if m.corrupt.Load() > 0 || m.failures.Load() > 0 {
		rt.Fatal(fmt.Sprint(m.corrupt.Load(), " corruptions, ", m.failures.Load(), " failures"))
	}
}
