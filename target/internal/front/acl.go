package front

import (
	"context"
	"net/http"

	"github.com/aisle-store/aisle/s3"
	"github.com/aisle-store/aisle/target/internal/store"
)

// getACL serves GetObjectAcl: the owner of the bucket owns its objects, and may do everything.
func (f *Front) getACL(ctx context.Context, r *request) error {
	read := &store.GetRequest{Call: r.attempt(), Bucket: r.bucket, Key: r.grant.Key, Version: r.version}
	if _, err := f.o.Store.Stat(ctx, read); err != nil {
		return f.notRead(ctx, r, read, err)
	}
	owner := string(r.bucket.Creator)
	r.rep.Status = http.StatusOK
	r.rep.Bytes(s3.ContentTypeXML, s3.ACLXML(s3.Owner{ID: owner, DisplayName: owner}))
	return nil
}

// putACL serves PutObjectAcl: what says no more than what is so anyway is taken, the rest is refused, also for an object that
// does not exist.
func (f *Front) putACL(_ context.Context, r *request) error {
	body, err := f.smallBody(r)
	if err != nil {
		return err
	}
	if !s3.GrantsOwnerOnly(body, string(r.bucket.Creator)) {
		return s3.NewFault("target/front.putACL", s3.ACLNotSupported, "")
	}
	r.rep.Status = http.StatusOK
	return nil
}
