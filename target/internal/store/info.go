package store

import (
	"github.com/aisle-store/aisle/target/internal/meta"
)

// infoOf is what a record says of a visible object; nil of nil.
func infoOf(r *meta.Record) *Info {
	if r == nil {
		return nil
	}
	return &Info{
		Key:        r.Key,
		Size:       r.Size,
		ETag:       r.ETag,
		Modified:   r.Modified,
		Generation: r.Generation,
		Version:    r.Counter,
		VersionID:  versionID(r),
		Sums:       r.Sums,
		Composite:  r.Composite,
		PartCount:  r.PartCount,
		Owner:      r.Owner,
		Encryption: r.Encryption,
		Metadata:   metadataOf(r),
	}
}

func stateOf(r *meta.Record) state {
	if r == nil {
		return state{}
	}
	return state{exists: true, etag: r.ETag, size: r.Size, modified: r.Modified}
}

// metadataOf is what a client said of the object or upload of a record.
func metadataOf(r *meta.Record) Metadata {
	return Metadata{Headers: r.Headers, User: r.Metadata, Custom: r.Custom, Tags: r.Tags, Lock: lockOf(r), Class: r.Class, ACL: r.ACL}
}

// describe notes in a record what a client says of its object or upload.
func describe(r *meta.Record, md *Metadata) {
	r.Headers, r.Metadata, r.Custom, r.Tags, r.Class, r.ACL = md.Headers, md.User, md.Custom, md.Tags, md.Class, md.ACL
	r.LockMode, r.LockUntil, r.LegalHold = md.Lock.Mode, md.Lock.Until, md.Lock.Hold
}
