package front

import (
	"time"

	"github.com/aisle-store/aisle/s3"
	"github.com/aisle-store/aisle/s3/lifecycle"
	"github.com/aisle-store/aisle/target/internal/store"
)

// rules returns the rules by which what lies in the request's bucket expires, or nil.
func (f *Front) rules(r *request) *lifecycle.Configuration {
	doc, ok := f.o.Control.Applied().BucketConfig(r.bucket.ID, s3.LifecycleDocument)
	if !ok {
		return nil
	}
	parsed, err := doc.Parsed(s3.DecodeLifecycle)
	if err != nil {
		return nil // nothing is removed by rules that are not understood
	}
	return &parsed.(*s3.Lifecycle).Configuration
}

// setExpiration tells when an object expires. A version that is named may be one that is not current: nothing is told of it.
func (f *Front) setExpiration(r *request, info *store.Info) {
	rules := f.rules(r)
	if rules == nil || r.version != "" {
		return
	}
	v := &lifecycle.Version{Key: r.grant.Key, Size: info.Size, Modified: info.Modified}
	for _, tag := range info.Tags {
		v.Tags = append(v.Tags, lifecycle.Tag(tag))
	}
	r.setFields(s3.ExpirationHeader(rules, v))
}

// setAbort tells when an upload is aborted.
func (f *Front) setAbort(r *request, initiated time.Time) {
	if rules := f.rules(r); rules != nil {
		r.setFields(s3.AbortHeader(rules, r.grant.Key, initiated))
	}
}

func (r *request) setFields(fields []s3.Field) {
	for _, field := range fields {
		r.rep.SetHeader(field.Name, field.Value)
	}
}
