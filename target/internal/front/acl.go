package front

import (
	"context"
	"net/http"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/s3"
	"github.com/aisle-store/aisle/target/internal/store"
)

// getACL serves GetObjectAcl. Where lists do not count, the bucket's owner owns the object and may do everything.
func (f *Front) getACL(ctx context.Context, r *request) error {
	read := &store.GetRequest{Call: r.attempt(), Bucket: r.bucket, Key: r.grant.Key, Version: r.version, Judge: r.judge}
	info, err := f.o.Store.Stat(ctx, read)
	if err != nil {
		return f.notRead(ctx, r, read, err)
	}
	list := s3.DecodeACL(info.ACL)
	if r.grant.Holder != "" {
		list = s3.OwnerACL()
	}
	r.setVersion(info)
	r.rep.Status = http.StatusOK
	r.rep.Bytes(s3.ContentTypeXML, list.XML(f.owner(r, info.Owner), f.nameOf))
	return nil
}

// nameOf returns the name of a grantee.
func (f *Front) nameOf(canonical string) string {
	o, _ := f.owners.Of(f.o.Control.Applied().Identities()).ByCanonical(canonical)
	return o.Name
}

// putACL serves PutObjectAcl. The gateway has read the list.
func (f *Front) putACL(ctx context.Context, r *request) error {
	r.rep.Status = http.StatusOK
	return f.edit(ctx, r, s3.EventACL, r.judgeOwner, func(md *store.Metadata) { md.ACL = r.grant.ACL })
}

// judgeOwner is judge, for a change of a list that names the object's owner.
func (r *request) judgeOwner(info *store.Info) error {
	if err := r.judge(info); err != nil {
		return err
	}
	if want := r.grant.Holder; want != "" && want != r.front.recorded(info.Owner).Canonical {
		return s3.NewFault("target/front.judgeOwner", s3.AccessDenied, "")
	}
	return nil
}

// audit notes that the request is denied.
func (r *request) audit(d api.Denial) {
	d.Request, d.Identity = string(r.grant.Request), string(r.grant.Identity)
	r.front.o.Audit.Denied(d)
}

// judge decides what the gateway left to the owner of the object.
func (r *request) judge(info *store.Info) error { return r.judgeBy(r.grant.Provisos, info) }

// judgeSource is judge, for the object that a copy reads.
func (r *request) judgeSource(info *store.Info) error { return r.judgeBy(r.grant.Source, info) }

func (r *request) judgeBy(encoded []byte, info *store.Info) error {
	const op = "target/front.judge"
	if len(encoded) == 0 {
		return nil
	}
	list, err := s3.DecodeProvisos(encoded)
	if err != nil {
		return cluster.E(op, r.subject(), cluster.KindDenied, err)
	}
	object := s3.ProvisoObject{Owner: r.front.recorded(info.Owner).Canonical, ACL: s3.DecodeACL(info.ACL), Tags: toFields(info.Tags)}
	for i := range list {
		if allowed, why := list[i].Judge(&object); !allowed {
			r.audit(api.Denial{Principal: list[i].Principal, Action: list[i].Action, Resource: list[i].Resource, Why: why})
			return list[i].Denied()
		}
	}
	return nil
}
