package store

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/aisle-store/aisle/cluster"
)

// versionModel is what a bucket with versions must be: for each key its versions, the newest first.
type versionModel struct {
	*bed
	mem      *vfs.MemFS
	versions map[string][]version
	made     map[string]bool // keys with ids of all versions that ever were
	seed     int
	ahead    atomic.Int64 // of the store's wall clock
}

type version struct {
	id     cluster.VersionID
	marker bool
	data   []byte
	note   string
	lock   Lock
}

var versionKeys = []string{"a", "a/b", "a/c", "b"}

// TestVersions compares a bucket with the model while versions are made, removed by id, suspended, changed, locked, and the process
// crashes; in the end nothing is left on the disk when all versions are gone.
func TestVersions(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		mem := vfs.NewCrashableMem()
		m := &versionModel{mem: mem, versions: make(map[string][]version), made: make(map[string]bool)}
		m.bed = newBed(t, mem, rapid.IntRange(1, 2).Draw(rt, "mountpaths"), func(o *Options) {
			o.InlineMax = 64
			o.Now = m.now
		})
		defer func() { m.close() }()
		for range rapid.IntRange(0, 2).Draw(rt, "objects from before") {
			m.putAny(rt)
		}
		m.versioning(cluster.VersioningEnabled)
		rt.Repeat(map[string]func(*rapid.T){
			"put":            m.putAny,
			"put again":      m.putAny,
			"delete":         m.deleteAny,
			"delete version": m.deleteVersion,
			"upload":         m.uploadAny,
			"update":         m.updateAny,
			"lock":           m.lockAny,
			"lock bucket":    m.lockBucket,
			"clock": func(rt *rapid.T) {
				m.ahead.Add(int64(rapid.SampledFrom([]int{-50, -20, -1, 1, 20, 50}).Draw(rt, "hours")) * int64(time.Hour))
			},
			"suspend": func(*rapid.T) { m.versioning(cluster.VersioningSuspended) },
			"enable":  func(*rapid.T) { m.versioning(cluster.VersioningEnabled) },
			"list":    m.listAny,
			"restart": func(*rapid.T) { m.restart() },
			"crash":   m.crash,
			"convert": m.convert,
			"":        m.verify,
		})
		m.removeAll(rt)
	})
}

func (m *versionModel) now() time.Time { return time.Now().Add(time.Duration(m.ahead.Load())) }

func (m *versionModel) key(rt *rapid.T) string { return rapid.SampledFrom(versionKeys).Draw(rt, "key") }

func (m *versionModel) bytes(rt *rapid.T) []byte {
	m.seed++
	return pattern(m.seed, rapid.SampledFrom([]int{0, 1, 64, 65, 5000, 270_000}).Draw(rt, "size"))
}

// add puts a version on top. The null version is one only.
func (m *versionModel) add(key string, v version) {
	if m.bucket.Props.Versioning != cluster.VersioningEnabled {
		m.versions[key] = slices.DeleteFunc(m.versions[key], func(o version) bool { return o.id == nullVersion })
	}
	m.versions[key] = slices.Insert(m.versions[key], 0, v)
}

func (m *versionModel) wantID(rt *rapid.T, key string, id cluster.VersionID) {
	if null := m.bucket.Props.Versioning != cluster.VersioningEnabled; null != (id == nullVersion) {
		rt.Fatalf("versioning %q made version %q", m.bucket.Props.Versioning, id)
	}
	if name := key + " " + string(id); id != nullVersion && m.made[name] {
		rt.Fatalf("%s: version %s was made twice", key, id)
	} else {
		m.made[name] = true
	}
}

func (m *versionModel) putAny(rt *rapid.T) {
	key, data := m.key(rt), m.bytes(rt)
	r := m.putRequest(key, data)
	info, err := m.store.Put(context.Background(), r)
	if m.keepsNull(rt, key, err) {
		return
	}
	if err != nil {
		rt.Fatal(err)
	}
	m.wantID(rt, key, info.VersionID)
	m.add(key, version{id: info.VersionID, data: data, lock: m.wantLock(rt, info)})
	r.Body = bytes.NewReader(data)
	if again, err := m.store.Put(context.Background(), r); err != nil || again.VersionID != info.VersionID {
		rt.Fatalf("a replay made version %v: %v", again, err)
	}
}

func (m *versionModel) uploadAny(rt *rapid.T) {
	ctx, key := context.Background(), m.key(rt)
	k := cluster.ObjectKey(key)
	id, err := m.store.CreateUpload(ctx, &CreateUploadRequest{Call: m.call(key), Bucket: m.bucket, Key: k})
	if err != nil {
		rt.Fatal(err)
	}
	var whole []byte
	var parts []CompletePart
	for n := range rapid.SampledFrom([]int{1, 2, 9}).Draw(rt, "parts") {
		m.seed++
		data := pattern(m.seed, 1000)
		info, err := m.store.PutPart(ctx, &PutPartRequest{Call: m.call(key), Bucket: m.bucket, Key: k, Upload: id, Number: n + 1, Body: bytes.NewReader(data), Size: -1})
		if err != nil {
			rt.Fatal(err)
		}
		whole, parts = append(whole, data...), append(parts, CompletePart{Number: n + 1, ETag: info.ETag})
	}
	r := &CompleteRequest{Call: m.call(key), Bucket: m.bucket, Key: k, Upload: id, Parts: parts, Size: -1, SmallParts: true}
	info, err := m.store.Complete(ctx, r)
	if m.keepsNull(rt, key, err) {
		if err := m.store.Abort(ctx, &AbortRequest{Call: m.call(key), Bucket: m.bucket, Key: k, Upload: id}); err != nil {
			rt.Fatal(err)
		}
		return
	}
	if err != nil {
		rt.Fatal(err)
	}
	m.wantID(rt, key, info.VersionID)
	m.add(key, version{id: info.VersionID, data: whole, lock: m.wantLock(rt, info)})
	if again, err := m.store.Complete(ctx, r); err != nil || again.VersionID != info.VersionID {
		rt.Fatalf("a second Complete: %+v, %v; want version %s", again, err, info.VersionID)
	}
}

func (m *versionModel) deleteAny(rt *rapid.T) {
	key := m.key(rt)
	r := &DeleteRequest{Call: m.call(key), Bucket: m.bucket, Key: cluster.ObjectKey(key)}
	got, err := m.store.Delete(context.Background(), r)
	if m.keepsNull(rt, key, err) {
		return
	}
	if err != nil || !got.Marker {
		rt.Fatalf("delete: %+v, %v", got, err)
	}
	m.wantID(rt, key, got.Version)
	m.add(key, version{id: got.Version, marker: true})
	if again, err := m.store.Delete(context.Background(), r); err != nil || again != got {
		rt.Fatalf("a replay made %+v, %v; want %+v", again, err, got)
	}
}

func (m *versionModel) deleteVersion(rt *rapid.T) {
	key := m.key(rt)
	id := cluster.VersionID("0000000000000007")
	at := -1
	if n := len(m.versions[key]); n > 0 && rapid.IntRange(0, 9).Draw(rt, "absent") > 0 {
		at = rapid.IntRange(0, n-1).Draw(rt, "version")
		id = m.versions[key][at].id
	}
	m.remove(rt, key, id, at)
}

func (m *versionModel) remove(rt *rapid.T, key string, id cluster.VersionID, at int) {
	r := &DeleteRequest{Call: m.call(key), Bucket: m.bucket, Key: cluster.ObjectKey(key), Version: id, Bypass: rapid.Bool().Draw(rt, "bypass")}
	got, err := m.store.Delete(context.Background(), r)
	if at >= 0 && m.locked(&m.versions[key][at], r.Bypass) {
		if !cluster.Is(err, cluster.KindLocked) {
			rt.Fatalf("delete of the locked version %s, %+v: %+v, %v", id, m.versions[key][at].lock, got, err)
		}
		m.ahead.Add(int64(1000 * time.Hour))
		if _, err := m.store.Delete(context.Background(), r); !cluster.Is(err, cluster.KindLocked) {
			rt.Fatalf("a replay of a refused delete, when the lock had ended: %v", err)
		}
		return
	}
	if err != nil || got.Existed != (at >= 0) || got.Version != id || at >= 0 && got.Marker != m.versions[key][at].marker {
		rt.Fatalf("delete of version %s: %+v, %v", id, got, err)
	}
	if at >= 0 {
		m.versions[key] = slices.Delete(m.versions[key], at, at+1)
	}
	if again, err := m.store.Delete(context.Background(), r); err != nil || again != got {
		rt.Fatalf("a replay of the delete of a version: %+v, %v; want %+v", again, err, got)
	}
}

// locked reports whether a version cannot be removed.
func (m *versionModel) locked(v *version, bypass bool) bool {
	return v.lock.Hold == cluster.HoldOn || v.lock.retained(m.now()) && !(bypass && v.lock.Mode == cluster.LockGovernance)
}

// keepsNull reports whether a write was refused because a locked null version is in its way.
func (m *versionModel) keepsNull(rt *rapid.T, key string, err error) bool {
	if m.bucket.Props.Versioning == cluster.VersioningEnabled {
		return false
	}
	for i := range m.versions[key] {
		if v := &m.versions[key][i]; v.id == nullVersion && m.locked(v, false) {
			if !cluster.Is(err, cluster.KindLocked) {
				rt.Fatalf("a write over the locked null version of %s: %v", key, err)
			}
			return true
		}
	}
	return false
}

// wantLock checks the lock that a new version has from its bucket.
func (m *versionModel) wantLock(rt *rapid.T, info *Info) Lock {
	l := m.bucket.Props.Lock
	if (l.Mode == "") != (info.Lock == Lock{}) || l.Mode != "" && !info.Lock.Until.Equal(l.Until(info.Modified)) {
		rt.Fatalf("a version of a bucket with %+v has %+v", l, info.Lock)
	}
	return info.Lock
}

func (m *versionModel) lockBucket(rt *rapid.T) {
	lock := rapid.SampledFrom([]cluster.BucketLock{
		{}, {Enabled: true}, {Enabled: true, Mode: cluster.LockGovernance, Days: 1}, {Enabled: true, Mode: cluster.LockCompliance, Days: 2},
	}).Draw(rt, "default")
	m.configure(func(p *cluster.BucketProps) { p.Lock = lock })
}

// lockAny changes the lock of a version.
func (m *versionModel) lockAny(rt *rapid.T) {
	key := m.key(rt)
	if len(m.versions[key]) == 0 {
		return
	}
	v := &m.versions[key][rapid.IntRange(0, len(m.versions[key])-1).Draw(rt, "version")]
	if v.marker {
		return
	}
	c := &LockChange{Bypass: rapid.Bool().Draw(rt, "bypass"), Hold: rapid.SampledFrom([]cluster.LegalHold{"", cluster.HoldOn, cluster.HoldOff, cluster.HoldOff}).Draw(rt, "hold")}
	if c.Hold == "" {
		c.Retention = &Lock{Mode: rapid.SampledFrom([]cluster.LockMode{"", cluster.LockGovernance, cluster.LockCompliance}).Draw(rt, "mode")}
		if c.Retention.Mode != "" {
			c.Retention.Until = m.now().UTC().Truncate(time.Millisecond).Add(time.Duration(rapid.SampledFrom([]int{10, 30, 100}).Draw(rt, "hours")) * time.Hour)
		}
	}
	had := v.lock
	refused := c.Retention != nil && had.retained(m.now()) && !(c.Bypass && had.Mode == cluster.LockGovernance) &&
		(c.Retention.Mode != had.Mode || c.Retention.Until.Before(had.Until))
	r := &UpdateRequest{Call: m.call(key), Bucket: m.bucket, Key: cluster.ObjectKey(key), Version: v.id, Lock: c, KeepModified: true}
	info, err := m.store.Update(context.Background(), r)
	switch {
	case refused && !cluster.Is(err, cluster.KindLocked), !refused && err != nil:
		rt.Fatalf("%+v to %+v: %v", had, c, err)
	case refused:
		return
	}
	c.apply(&v.lock)
	if !sameLock(info.Lock, v.lock) {
		rt.Fatalf("the lock is %+v, want %+v", info.Lock, v.lock)
	}
	m.repeat(rt, r, info)
}

// repeat sends a change of a version again, perhaps when its key has been changed once more.
func (m *versionModel) repeat(rt *rapid.T, r *UpdateRequest, made *Info) {
	if rapid.Bool().Draw(rt, "later") {
		m.putAny(rt)
	}
	if again, err := m.store.Update(context.Background(), r); err != nil || again.VersionID != made.VersionID || again.ETag != made.ETag {
		rt.Fatalf("a replay of the change of version %s: %+v, %v", made.VersionID, again, err)
	}
}

func (m *versionModel) updateAny(rt *rapid.T) {
	key := m.key(rt)
	if len(m.versions[key]) == 0 {
		return
	}
	m.seed++
	at, note := rapid.IntRange(0, len(m.versions[key])-1).Draw(rt, "version"), fmt.Sprint(m.seed)
	v := &m.versions[key][at]
	r := &UpdateRequest{
		Call: m.call(key), Bucket: m.bucket, Key: cluster.ObjectKey(key), Version: v.id,
		Edit: func(md *Metadata) { md.User = []Pair{{Name: "note", Value: note}} },
	}
	info, err := m.store.Update(context.Background(), r)
	switch {
	case v.marker:
		if MarkerOf(err) == nil || !cluster.Is(err, cluster.KindMethod) {
			rt.Fatalf("update of a marker: %v", err)
		}
	case err != nil || info.VersionID != v.id:
		rt.Fatalf("update of version %s: %+v, %v", v.id, info, err)
	default:
		v.note = note
		m.repeat(rt, r, info)
	}
}

// listAny lists all versions in pages and compares with the model.
func (m *versionModel) listAny(rt *rapid.T) {
	r := m.listRequest()
	r.Prefix = rapid.SampledFrom([]string{"", "", "a", "a/", "none"}).Draw(rt, "prefix")
	r.Delimiter = rapid.SampledFrom([]string{"", "/"}).Draw(rt, "delimiter")
	page := rapid.IntRange(1, 4).Draw(rt, "page")
	var want []string
	for _, key := range versionKeys {
		if !strings.HasPrefix(key, r.Prefix) || len(m.versions[key]) == 0 {
			continue
		}
		if p, rolled := rollUp(r, cluster.ObjectKey(key)); rolled {
			if line := string(p) + "*"; len(want) == 0 || want[len(want)-1] != line {
				want = append(want, line)
			}
			continue
		}
		for i, v := range m.versions[key] {
			want = append(want, fmt.Sprint(key, " ", v.id, " ", i == 0, " ", v.marker, " ", len(v.data)))
		}
	}
	var got []string
	for {
		n := 0
		for e, err := range m.store.Versions(context.Background(), r) {
			if err != nil {
				rt.Fatal(err)
			}
			r.After, r.AfterVersion = string(e.Key), e.Position()
			if e.Prefix {
				got = append(got, string(e.Key)+"*")
			} else {
				got = append(got, fmt.Sprint(e.Key, " ", e.VersionID, " ", e.Latest, " ", e.Marker, " ", e.Size))
			}
			if n++; n == page {
				break
			}
		}
		if n < page {
			break
		}
	}
	if !slices.Equal(got, want) {
		rt.Fatalf("list %+v:\n%s\nwant\n%s", r, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func (m *versionModel) crash(rt *rapid.T) {
	clone := m.mem.CrashClone(vfs.CrashCloneCfg{
		UnsyncedDataPercent: rapid.SampledFrom([]int{0, 30, 100}).Draw(rt, "unsynced"),
		RNG:                 rand.New(rand.NewPCG(uint64(m.seed), 1)),
	})
	m.close()
	m.mem, m.fs = clone, clone
	m.start()
}

// convert moves the keys to another id, piece by piece, while the process starts again and crashes.
func (m *versionModel) convert(rt *rapid.T) {
	c := m.over(m.bucket.ID + 1)
	for _, key := range versionKeys {
		for !c.moveSome(key, rapid.IntRange(0, 2).Draw(rt, "pieces")) {
			for e, err := range m.store.Versions(context.Background(), &ListRequest{Bucket: m.bucket, Map: m.m.Version}) {
				if err != nil || e.Key >= cluster.ObjectKey(key) {
					rt.Fatalf("a list shows %+v while %s is being moved: %v", e, key, err)
				}
			}
			if c.settled(key) {
				rt.Fatalf("%s is said to be moved", key)
			}
			switch rapid.IntRange(0, 4).Draw(rt, "between") {
			case 0:
				m.restart()
			case 1:
				m.crash(rt)
			}
			c.begin()
		}
		if len(m.versions[key]) > 0 && !c.settled(key) {
			rt.Fatalf("%s is not moved", key)
		}
	}
	m.verify(rt)
	c.end()
}

// verify reads every version by its id, and the current ones without.
func (m *versionModel) verify(rt *rapid.T) {
	for _, key := range versionKeys {
		versions := m.versions[key]
		data, info, err := m.read(m.getRequest(key))
		switch {
		case len(versions) == 0:
			if !cluster.Is(err, cluster.KindObjectNotFound) || MarkerOf(err) != nil {
				rt.Fatalf("%s has no version: %v", key, err)
			}
		case versions[0].marker:
			if marker := MarkerOf(err); !cluster.Is(err, cluster.KindObjectNotFound) || marker == nil || marker.VersionID != versions[0].id {
				rt.Fatalf("%s is a marker: %v", key, err)
			}
		case err != nil || info.VersionID != versions[0].id || !bytes.Equal(data, versions[0].data):
			rt.Fatalf("%s: %+v, %v, want version %s", key, info, err, versions[0].id)
		}
		for _, v := range versions {
			r := m.getRequest(key)
			r.Version = v.id
			data, info, err := m.read(r)
			if v.marker {
				if MarkerOf(err) == nil || !cluster.Is(err, cluster.KindMethod) {
					rt.Fatalf("%s version %s is a marker: %v", key, v.id, err)
				}
				continue
			}
			if err != nil || !bytes.Equal(data, v.data) || v.note != "" && info.User[0].Value != v.note || !sameLock(info.Lock, v.lock) {
				rt.Fatalf("%s version %s: %+v, %v", key, v.id, info, err)
			}
		}
	}
	r := m.getRequest("a")
	r.Version = "0000000000000007"
	if _, _, err := m.read(r); !cluster.Is(err, cluster.KindVersionNotFound) {
		rt.Fatalf("a version that never was: %v", err)
	}
	if m.corrupt.Load() > 0 || m.failures.Load() > 0 {
		rt.Fatal(m.corrupt.Load(), " corruptions, ", m.failures.Load(), " failures")
	}
}

func sameLock(a, b Lock) bool { return a.Mode == b.Mode && a.Hold == b.Hold && a.Until.Equal(b.Until) }

// removeAll removes every version, when no lock is left; then the bucket is empty, and so is the disk.
func (m *versionModel) removeAll(rt *rapid.T) {
	empty := func() bool {
		empty, err := m.store.SealBucket(context.Background(), m.bucket.ID)
		if err != nil {
			rt.Fatal(err)
		}
		return empty
	}
	m.ahead.Add(int64(10_000 * time.Hour))
	for key := range m.versions {
		for i := range m.versions[key] {
			v := &m.versions[key][i]
			if v.lock.Hold != cluster.HoldOn {
				continue
			}
			if _, err := m.store.Update(context.Background(), &UpdateRequest{
				Call: m.call(key), Bucket: m.bucket, Key: cluster.ObjectKey(key), Version: v.id, Lock: &LockChange{Hold: cluster.HoldOff},
			}); err != nil {
				rt.Fatal(err)
			}
			v.lock.Hold = cluster.HoldOff
		}
		for len(m.versions[key]) > 0 {
			if empty() {
				rt.Fatalf("%s has versions, and the bucket is empty", key)
			}
			at := rapid.IntRange(0, len(m.versions[key])-1).Draw(rt, "last")
			m.remove(rt, key, m.versions[key][at].id, at)
		}
	}
	if !empty() {
		rt.Fatal("no version is left, and the bucket is not empty")
	}
	m.restart() // parts of uploads that crashed halfway are none here: every upload was completed
	m.drain()
	for _, mp := range m.store.mounted() {
		if st := mp.disk.Stats(); st.Extents != 0 {
			rt.Fatalf("%d extents are left", st.Extents)
		}
	}
}

// TestPageBehindNullVersion: a list of versions that goes on behind a null version shows the rest of the key, whatever became of the null
// version meanwhile.
func TestPageBehindNullVersion(t *testing.T) {
	for name, meanwhile := range map[string]func(*bed){
		"it stays":   func(*bed) {},
		"it is gone": func(b *bed) { b.removeVersion("k", nullVersion) },
		"there is a newer one": func(b *bed) {
			b.versioning(cluster.VersioningSuspended)
			b.put("k", []byte("null again"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, vfs.NewMem(), 1, nil)
			defer func() { b.close() }()
			var want []cluster.VersionID
			for _, v := range []cluster.Versioning{cluster.VersioningEnabled, cluster.VersioningSuspended, cluster.VersioningEnabled} {
				b.versioning(v)
				want = append([]cluster.VersionID{b.put("k", []byte(v)).VersionID}, want...)
			}
			if want[1] != nullVersion {
				t.Fatal(want)
			}
			r := b.listRequest()
			var got []cluster.VersionID
			for e, err := range b.store.Versions(context.Background(), r) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, e.VersionID)
				if r.After, r.AfterVersion = string(e.Key), e.Position(); e.VersionID == nullVersion {
					break
				}
			}
			meanwhile(b)
			for e, err := range b.store.Versions(context.Background(), r) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, e.VersionID)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("pages show versions %v, want %v", got, want)
			}
		})
	}
}

func (b *bed) removeVersion(key string, id cluster.VersionID) {
	b.t.Helper()
	if _, err := b.store.Delete(context.Background(), &DeleteRequest{Call: b.call(key), Bucket: b.bucket, Key: cluster.ObjectKey(key), Version: id}); err != nil {
		b.t.Fatal(err)
	}
}
