package store

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/disk"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// Limits of multipart uploads (AWS: "Amazon S3 multipart upload limits").
const (
	MaxParts    = 10000
	MinPartSize = 5 << 20 // of every part but the last
)

// CreateUploadRequest asks for a new multipart upload.
type CreateUploadRequest struct {
	Call
	Bucket    cluster.BucketEntry
	Key       cluster.ObjectKey
	Owner     cluster.AccessKeyID
	Want      []cluster.ChecksumType // checksums that its parts and the object keep
	Composite bool                   // the object's are checksums of the parts' checksums, not of the whole object
	// Encryption is how the parts are to be encrypted; nil: they are not.
	Encryption *Encryption
	Metadata
}

// UploadInfo is what is known of an upload in progress.
type UploadInfo struct {
	ID        cluster.UploadID
	Key       cluster.ObjectKey
	Owner     cluster.AccessKeyID
	Initiated time.Time
	Want      []cluster.ChecksumType
	Composite bool

	Encryption *Encryption
	Metadata
}

// PutPartRequest asks for a part to be written. Parts may come in any order, in parallel, and replace one another.
type PutPartRequest struct {
	Call
	Bucket  cluster.BucketEntry
	Key     cluster.ObjectKey
	Upload  cluster.UploadID
	Number  int // 1 to MaxParts
	Body    io.Reader
	Size    int64 // -1 when it is not known
	Want    []cluster.ChecksumType
	Default cluster.ChecksumType // computed and kept too when the upload asks for none, unless its bytes are secret; "": none
	Expect  Sums
	Trailer SumSource
	// Encrypt says how the bytes are encrypted, if they are, in an upload with this encryption. nil: they are not.
	Encrypt func(upload *Encryption) (*Encrypt, error)
}

// PartsRequest asks for the parts of an upload, ordered by number.
type PartsRequest struct {
	Call
	Bucket cluster.BucketEntry
	Key    cluster.ObjectKey
	Upload cluster.UploadID
	After  int // only parts with a higher number
	Limit  int // at most so many; 0 for all
}

// PartsResult is one page of an upload's parts.
type PartsResult struct {
	Upload UploadInfo
	Parts  []PartInfo
	More   bool
}

// CompletePart names a part that the object shall be made of.
type CompletePart struct {
	Number int
	ETag   string // without quotes
	Sums   Sums   // checked against the part's when given
}

// CompleteRequest asks for an object to be made of an upload's parts.
type CompleteRequest struct {
	Call
	Bucket cluster.BucketEntry
	Key    cluster.ObjectKey
	Upload cluster.UploadID
	Parts  []CompletePart
	Size   int64 // what the object must have; -1 when the client did not say
	Expect Sums  // checksums that the object must have, in the upload's form

	Default cluster.ChecksumType // of the whole object: kept when the upload asks for none and all parts have it; "": none

	If    Conditions
	Check func(upload *UploadInfo) error // refuses who may not complete it; may be nil

	SmallParts bool // parts may have any size, as in AIStore's native uploads; else MinPartSize holds

	Owner   cluster.AccessKeyID // who completes it
	Notices Notices
}

// AbortRequest asks for an upload to be dropped with all its parts.
type AbortRequest struct {
	Call
	Bucket cluster.BucketEntry
	Key    cluster.ObjectKey
	Upload cluster.UploadID
}

// CreateUpload begins a multipart upload.
func (s *Store) CreateUpload(ctx context.Context, r *CreateUploadRequest) (cluster.UploadID, error) {
	const op = "target/store.CreateUpload"
	n := name{bucket: &r.Bucket, key: r.Key}
	for _, t := range r.Want {
		if !r.Composite && !combinable(t) {
			return "", n.fail(op, cluster.KindInvalid, fmt.Sprintf("the %s of a whole object does not follow from those of its parts", t))
		}
	}
	t, err := s.begin(op, n, r.Call)
	if err != nil {
		return "", err
	}
	defer t.end()
	if id, err := t.earlierUpload(ctx); id != "" || err != nil {
		return id, err
	}
	if err := t.writable(); err != nil {
		return "", err
	}
	record := &meta.Record{Ref: n.ref(meta.Upload)}
	record.Modified = s.o.Now()
	record.Upload = newUploadID(record.Modified)
	record.Owner, record.Want, record.Composite, record.Encryption = r.Owner, r.Want, r.Composite, r.Encryption
	describe(record, &r.Metadata)
	t.id.upload = record.Upload
	if err := t.commit(&change{put: []*meta.Record{record}}); err != nil {
		return "", err
	}
	t.remember(0, outcome{upload: record.Upload})
	return record.Upload, nil
}

// newUploadID makes an id that sorts by the time at which the upload began.
func newUploadID(at time.Time) cluster.UploadID {
	var b [18]byte
	binary.BigEndian.PutUint64(b[:], uint64(at.UnixMicro()))
	rand.Read(b[8:]) // never fails
	return cluster.UploadID(hex.EncodeToString(b[1:]))
}

// earlierUpload returns the upload that an earlier attempt of the same request began, or "" when the turn may go on.
func (t *turn) earlierUpload(ctx context.Context) (cluster.UploadID, error) {
	o, known, err := t.recall(0)
	if err != nil || known {
		return o.upload, err
	}
	if t.store.young(t.name) {
		if id, err := t.uploadOfRequest(ctx); id != "" || err != nil {
			return id, err
		}
	}
	return "", t.store.checkAge(t.op, t.name, t.call)
}

// uploadOfRequest returns the upload in progress that the request began, or "".
func (t *turn) uploadOfRequest(ctx context.Context) (cluster.UploadID, error) {
	if t.call.Request == "" {
		return "", nil
	}
	for r, err := range t.m.index.Scan(ctx, meta.Range{Kind: meta.Upload, Bucket: t.id.bucket, Key: t.id.key}).All() {
		if err != nil {
			return "", t.wrap(err)
		}
		if r.Request == t.call.Request && !t.store.uploadHidden(t.m, r.Ref) {
			return r.Upload, nil
		}
	}
	return "", nil
}

// upload returns the record of an upload in progress.
func (s *Store) upload(op string, n name, m *mountpath, id cluster.UploadID) (*meta.Record, error) {
	inside := s.readers.enter() // so long an end that was given up has its mark
	defer s.readers.leave(inside)
	ref := n.ref(meta.Upload)
	ref.Upload = id
	record, err := m.index.Get(ref, nil)
	if err != nil {
		return nil, n.wrap(op, cluster.KindOther, err)
	}
	if record == nil || s.uploadHidden(m, record.Ref) {
		return nil, n.fail(op, cluster.KindUploadNotFound, "the upload does not exist, was completed or aborted")
	}
	return record, nil
}

// uploadHidden reports whether an upload is not in progress: its record is not visible yet, or a visible tombstone ended it.
func (s *Store) uploadHidden(m *mountpath, ref meta.Ref) bool {
	shard, id := s.shard(ref.Bucket, ref.Key), ident{bucket: ref.Bucket, key: ref.Key, upload: ref.Upload}
	if shard.prepared(id, ref.Generation) {
		return true
	}
	if id.upload = ""; shard.prepared(id, ref.Generation) { // it is moved from a frozen id, by a change of the key
		return true
	}
	end, err := s.uploadEnd(m, ref)
	return end != nil && err == nil
}

// uploadEnd returns the visible tombstone of an upload, or nil.
func (s *Store) uploadEnd(m *mountpath, ref meta.Ref) (*meta.Record, error) {
	ref.Kind = meta.UploadTombstone
	shard, id := s.shard(ref.Bucket, ref.Key), ident{bucket: ref.Bucket, key: ref.Key}
	return m.index.Get(ref, func(g cluster.Generation) bool { return shard.prepared(id, g) })
}

// uploadRecords returns an upload and its parts, as far as they are left.
func uploadRecords(ctx context.Context, index *meta.Index, ref meta.Ref) ([]*meta.Record, error) {
	ref.Kind = meta.Upload
	records, err := index.Generations(ref)
	if err != nil {
		return nil, err
	}
	for r, err := range index.Scan(ctx, meta.Range{Kind: meta.UploadPart, Bucket: ref.Bucket, Key: ref.Key, Upload: ref.Upload}).All() {
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, nil
}

// uploadOf is what a record says of an upload.
func uploadOf(r *meta.Record) *UploadInfo {
	return &UploadInfo{
		ID:        r.Upload,
		Key:       r.Key,
		Owner:     r.Owner,
		Initiated: r.Modified,
		Want:      r.Want,
		Composite: r.Composite,

		Encryption: r.Encryption,
		Metadata:   metadataOf(r),
	}
}

// Abort ends an upload and frees its parts.
func (s *Store) Abort(ctx context.Context, r *AbortRequest) error {
	const op = "target/store.Abort"
	n := name{bucket: &r.Bucket, key: r.Key}
	t, err := s.begin(op, n, r.Call)
	if err != nil {
		return err
	}
	defer t.end()
	return t.abort(ctx, r.Upload)
}

// abort ends an upload and frees its parts.
func (t *turn) abort(ctx context.Context, id cluster.UploadID) error {
	upload, err := t.store.upload(t.op, t.name, t.m, id)
	if err != nil {
		return t.endedBySame(id, err)
	}
	if err := t.store.checkAge(t.op, t.name, t.call); err != nil {
		return err
	}
	records, err := uploadRecords(ctx, t.m.index, upload.Ref)
	if err != nil {
		return t.wrap(err)
	}
	var free []disk.Place
	for _, part := range records {
		free = append(free, part.Place)
	}
	end := t.uploadTombstone(id)
	return t.endUpload(&change{put: []*meta.Record{end}, remove: records, free: free}, end)
}

// endedBySame returns nil when an earlier attempt of the same request ended the upload, else err.
func (t *turn) endedBySame(id cluster.UploadID, err error) error {
	ref := t.name.ref(meta.Upload)
	ref.Upload = id
	end, readErr := t.store.uploadEnd(t.m, ref)
	switch {
	case readErr != nil:
		return t.wrap(readErr)
	case end != nil && t.call.Request != "" && end.Request == t.call.Request:
		return nil
	}
	return err
}

// uploadTombstone is the record that ends an upload.
func (t *turn) uploadTombstone(id cluster.UploadID) *meta.Record {
	end := &meta.Record{Ref: t.name.ref(meta.UploadTombstone)}
	end.Upload = id
	end.Modified = t.store.o.Now()
	return end
}

// endUpload commits a change with an upload's tombstone.
func (t *turn) endUpload(c *change, end *meta.Record) error {
	if err := t.commit(c); err != nil {
		return err
	}
	t.store.sweeper.expire(t.m, end.Ref, t.store.o.Clock()+max(t.store.o.RetryWindow, t.store.o.UploadGrace))
	return nil
}

// Complete makes an object of an upload's parts and ends the upload. Nothing is copied: the object's record names the
// places of the parts.
func (s *Store) Complete(ctx context.Context, r *CompleteRequest) (*Info, error) {
	const op = "target/store.Complete"
	n := name{bucket: &r.Bucket, key: r.Key}
	t, err := s.begin(op, n, r.Call)
	if err != nil {
		return nil, err
	}
	defer t.end()

	current, tombstone, err := t.visible(t.kept())
	if err != nil {
		return nil, err
	}
	before := newest(current, tombstone)
	if made, ended, err := t.earlier(before); ended || err != nil {
		return infoOf(made), err
	}
	upload, err := s.upload(op, n, t.m, r.Upload)
	if err != nil {
		return t.completedBefore(r.Upload, current, err)
	}
	if r.Check != nil {
		if err := r.Check(uploadOf(upload)); err != nil {
			return nil, t.refuse(err)
		}
	}
	if err := r.If.forWrite(op, n, stateOf(current)); err != nil {
		return nil, t.refuse(err)
	}
	parts, err := t.partsOf(ctx, upload)
	if err != nil {
		return nil, err
	}
	record, err := t.assemble(upload, parts, r)
	if err != nil {
		return nil, t.refuse(err)
	}
	follow(record, current)
	end := t.uploadTombstone(r.Upload)
	c := &change{put: []*meta.Record{record, end}, remove: append(parts, upload), free: unused(parts, record), parts: parts, telling: telling{r.Notices, record, r.Owner}}
	if err := t.supersede(c, before); err != nil {
		return nil, err
	}
	end.Size, end.ETag, end.Counter, end.Sums, end.Composite = record.Size, record.ETag, record.Counter, record.Sums, record.Composite
	end.Number, end.Null, end.Encryption = record.Number, record.Null, record.Encryption
	if err := t.endUpload(c, end); err != nil {
		return nil, err
	}
	return infoOf(record), nil
}

// completedBefore answers a Complete of an upload that was completed already, as long as its tombstone is kept.
func (t *turn) completedBefore(id cluster.UploadID, current *meta.Record, err error) (*Info, error) {
	ref := t.name.ref(meta.Upload)
	ref.Upload = id
	end, readErr := t.store.uploadEnd(t.m, ref)
	switch {
	case readErr != nil:
		return nil, t.wrap(readErr)
	case end == nil || end.ETag == "":
		return nil, err
	case current != nil && current.Generation == end.Generation:
		return infoOf(current), nil
	}
	return infoOf(end), nil
}

func (t *turn) partsOf(ctx context.Context, upload *meta.Record) ([]*meta.Record, error) {
	var parts []*meta.Record
	scan := meta.Range{Kind: meta.UploadPart, Bucket: upload.Bucket, Key: upload.Key, Upload: upload.Upload, Hidden: t.partHidden}
	for part, err := range t.m.index.Scan(ctx, scan).All() {
		if err != nil {
			return nil, t.wrap(err)
		}
		parts = append(parts, part)
	}
	return parts, nil
}

// SmallPart is wrapped by KindPartTooSmall: a part that is not the last one has fewer than MinPartSize bytes.
type SmallPart struct {
	Number int
	Size   int64
	ETag   string
}

// Error says which.
func (s *SmallPart) Error() string {
	return fmt.Sprintf("part %d has %d bytes, fewer than %d", s.Number, s.Size, MinPartSize)
}

// OtherSize is wrapped by KindInvalid: the parts of an upload do not have as many bytes as its object is said to have.
type OtherSize struct{ Parts, Declared int64 }

// Error says how many.
func (o *OtherSize) Error() string {
	return fmt.Sprintf("the parts have %d bytes, not %d as declared", o.Parts, o.Declared)
}

// assemble makes the record of an object from the parts that the request names.
func (t *turn) assemble(upload *meta.Record, parts []*meta.Record, r *CompleteRequest) (*meta.Record, error) {
	if err := t.checkOrder(r.Parts); err != nil {
		return nil, err
	}
	record := &meta.Record{Ref: t.name.ref(meta.Current)}
	infos := make([]PartInfo, 0, len(r.Parts))
	for i, want := range r.Parts {
		part := named(parts, want)
		if part == nil {
			return nil, t.fail(cluster.KindPart, fmt.Sprintf("part %d does not exist, or has another ETag or checksum", want.Number))
		}
		if part.Size < MinPartSize && i < len(r.Parts)-1 && !r.SmallParts {
			return nil, t.name.wrap(t.op, cluster.KindPartTooSmall, &SmallPart{want.Number, part.Size, part.ETag})
		}
		infos = append(infos, *partOf(part, part.Part))
		entry := meta.Part{
			Number: want.Number, Size: part.Size, ETag: part.ETag, Modified: part.Modified,
			Sums: part.Sums, Place: part.Place, Coding: part.Coding, Inline: part.Inline,
		}
		if part.Encryption != nil {
			entry.Sealed = part.Encryption.Sealed
		}
		record.Parts = append(record.Parts, entry)
		record.Size += part.Size
	}
	if r.Size >= 0 && record.Size != r.Size {
		return nil, t.name.wrap(t.op, cluster.KindInvalid, &OtherSize{record.Size, r.Size})
	}
	record.PartCount = len(record.Parts)
	record.ETag = compositeETag(infos)
	record.Composite, record.Encryption = upload.Composite, upload.Encryption
	record.Sums = t.wholeSums(upload, infos, r.Default)
	if typ := Sums(record.Sums).differs(r.Expect); typ != "" {
		return nil, t.fail(cluster.KindChecksum, fmt.Sprintf("the object does not have the %s that the request states", typ))
	}
	record.Modified = t.store.o.Now()
	record.Created = record.Modified
	record.Owner = upload.Owner
	md := metadataOf(upload)
	describe(record, &md)
	retain(record, t.name.bucket.Props.Lock)
	return record, nil
}

func (t *turn) checkOrder(parts []CompletePart) error {
	if len(parts) == 0 || len(parts) > MaxParts {
		return t.fail(cluster.KindInvalid, fmt.Sprintf("an object is made of 1 to %d parts", MaxParts))
	}
	for i := 1; i < len(parts); i++ {
		if parts[i].Number <= parts[i-1].Number {
			return t.fail(cluster.KindPartOrder, fmt.Sprintf("part %d comes after part %d", parts[i].Number, parts[i-1].Number))
		}
	}
	return nil
}

// named returns the part that a request means, or nil.
func named(parts []*meta.Record, want CompletePart) *meta.Record {
	i, found := slices.BinarySearchFunc(parts, uint32(want.Number), func(r *meta.Record, n uint32) int { return int(r.Part) - int(n) })
	if !found || parts[i].ETag != want.ETag || Sums(parts[i].Sums).differs(want.Sums) != "" {
		return nil
	}
	return parts[i]
}

// wholeSums are the checksums of an object that follow from those of its parts: what the upload asked for, in the form it
// asked for, else the default one, and the bucket's own where that can be combined.
func (t *turn) wholeSums(upload *meta.Record, parts []PartInfo, otherwise cluster.ChecksumType) Sums {
	var sums Sums
	if len(upload.Want) == 0 && combinable(otherwise) {
		if value := combine(otherwise, false, parts); value != nil {
			sums = append(sums, Sum{Type: otherwise, Value: value})
		}
	}
	for _, typ := range upload.Want {
		if value := combine(typ, upload.Composite, parts); value != nil {
			sums = append(sums, Sum{Type: typ, Value: value})
		}
	}
	own := t.name.bucket.Props.Checksum
	if sums.Get(own) == nil && combinable(own) && !upload.Composite {
		if value := combine(own, false, parts); value != nil {
			sums = append(sums, Sum{Type: own, Value: value})
		}
	}
	return sums
}

// unused are the places of parts that the object does not name.
func unused(parts []*meta.Record, object *meta.Record) []disk.Place {
	var places []disk.Place
	for _, part := range parts {
		if !slices.ContainsFunc(object.Parts, func(p meta.Part) bool { return p.Number == int(part.Part) }) {
			places = append(places, part.Place)
		}
	}
	return places
}
