package front

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/config"
	"github.com/aisle-store/aisle/cluster/control"
	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/cluster/intra"
	"github.com/aisle-store/aisle/proxy/internal/access"
	"github.com/aisle-store/aisle/s3"
)

// Access control lists count in buckets whose ownership is not BucketOwnerEnforced. The list of a bucket is a document beside
// it and judged here; that of an object lies in its record, and the owner of the object judges it, when nothing else decides.

var (
	bucketOwnership = documentKind{name: "ownership-controls", decode: s3.DecodeOwnershipControls}
	bucketACL       = documentKind{name: "acl", decode: s3.DecodeBucketACL}
)

// ownership returns the mode of ownership of a bucket.
func (f *Front) ownership(view bucketConfigs, id cluster.BucketID) (string, error) {
	const op = "proxy/front.ownership"
	config, ok := view.BucketConfig(id, bucketOwnership.name)
	if !ok {
		return s3.BucketOwnerEnforced, nil
	}
	doc, err := config.Parsed(bucketOwnership.decode)
	if err != nil {
		return "", cluster.E(op, bucketOwnership.name, cluster.KindOther, err)
	}
	if mode := doc.(*s3.OwnershipControls).Ownership; mode != "" {
		return mode, nil
	}
	return s3.ObjectWriter, nil
}

// bucketList returns the access control list of a bucket; nil where lists do not count.
func (f *Front) bucketList(view *control.View, entry cluster.BucketEntry) (*access.ACL, error) {
	const op = "proxy/front.bucketList"
	mode, err := f.ownership(view, entry.ID)
	if err != nil || mode == s3.BucketOwnerEnforced {
		return nil, err
	}
	owner := f.bucketOwner(view, entry)
	acl := &access.ACL{List: s3.OwnerACL(), Owner: owner.Canonical}
	if config, ok := view.BucketConfig(entry.ID, bucketACL.name); ok {
		doc, err := config.Parsed(bucketACL.decode)
		if err != nil {
			return nil, cluster.E(op, bucketACL.name, cluster.KindOther, err)
		}
		acl.List = doc.(*s3.ACL)
	}
	block, err := publicAccess.of(view, entry.ID)
	if err != nil {
		return nil, err
	}
	if b, ok := block.(*s3.PublicAccessBlock); ok {
		acl.IgnorePublic = b.IgnorePublicAcls
	}
	return acl, nil
}

// bucketOwner returns who owns a bucket.
func (f *Front) bucketOwner(view *control.View, entry cluster.BucketEntry) cluster.Owner {
	return f.owners.Of(view.Identities()).Bucket(&entry)
}

// ownedNow returns a bucket as conditions see it, with the name that the user who made it has now.
func (f *Front) ownedNow(view *control.View, entry cluster.BucketEntry) cluster.BucketEntry {
	entry.Owner = f.owners.Of(view.Identities()).BucketUser(&entry)
	return entry
}

// ownerNamed returns how an owner shows in S3's XML.
func (f *Front) ownerNamed(view *control.View, id string) s3.Owner {
	return shown(f.owners.Of(view.Identities()).ByID(id))
}

func shown(o cluster.Owner) s3.Owner { return s3.Owner{ID: o.Canonical, DisplayName: o.Name} }

// ownersIn returns what says how the owners of a bucket's objects show in a list: where lists do not count, all are the bucket's.
func (f *Front) ownersIn(r *s3Request) func(cluster.AccessKeyID) s3.Owner {
	owners := f.owners.Of(r.view.Identities())
	if entry, ok := r.view.Bucket(cluster.Native(r.call.Bucket)); ok {
		if mode, err := f.ownership(r.view, entry.ID); err == nil && mode == s3.BucketOwnerEnforced {
			all := shown(owners.Bucket(&entry))
			return func(cluster.AccessKeyID) s3.Owner { return all }
		}
	}
	return func(recorded cluster.AccessKeyID) s3.Owner {
		return shown(owners.Recorded(recorded, func(id cluster.AccessKeyID) (cluster.UserName, bool, bool) {
			key, ok := r.view.Key(id)
			return key.User, key.Root, ok
		}))
	}
}

// aclContext is what the lists that a request gives are read by.
func (f *Front) aclContext(view *control.View, bucketOwner string, bucket bool) *s3.ACLContext {
	owners := f.owners.Of(view.Identities())
	return &s3.ACLContext{Bucket: bucket, BucketOwner: bucketOwner, Known: func(id string) bool {
		_, ok := owners.ByCanonical(id)
		return ok
	}}
}

// own says in a grant who owns what the request makes, and which list it gives to it. It reports whether the request is answered.
func (f *Front) own(ctx context.Context, r *s3Request, g *intra.Grant) (done bool, err error) {
	switch r.call.Op {
	case s3.PutObject, s3.CopyObject, s3.CreateMultipartUpload, s3.DeleteObject, s3.GetObjectACL, s3.PutObjectACL, s3.ListParts:
	default:
		return false, nil
	}
	entry, ok := r.view.Bucket(g.Bucket)
	if !ok {
		var err error
		if _, entry, err = f.bucket(ctx, g.Bucket); err != nil {
			return false, err
		}
	}
	mode, err := f.ownership(r.view, entry.ID)
	if err != nil {
		return false, err
	}
	enforced := mode == s3.BucketOwnerEnforced
	switch r.call.Op {
	case s3.GetObjectACL, s3.ListParts:
		if enforced {
			g.Holder = f.bucketOwner(r.view, entry).ID
		}
		return false, nil
	case s3.PutObjectACL:
		return f.ownACL(r, g, entry, enforced)
	}
	if r.log != nil {
		g.Holder = f.bucketOwner(r.view, entry).ID
		if !enforced && f.checkPublic(r, entry, r.log.ACL()) == nil {
			g.ACL = r.log.ACL().Encode()
		}
		return false, nil
	}
	g.Holder = r.who.OwnerID
	if r.call.Op == s3.DeleteObject || !s3.HasACL(r.call) {
		return false, nil
	}
	if enforced {
		if !s3.HarmlessACL(r.call) {
			return false, s3.NewFault("proxy/front.own", s3.ACLNotSupported, "")
		}
		return false, nil
	}
	owner := f.bucketOwner(r.view, entry)
	list, err := s3.ReadACLHeaders(r.call, f.aclContext(r.view, owner.Canonical, false))
	if err != nil {
		return false, err
	}
	if err := f.checkPublic(r, entry, list); err != nil {
		return false, err
	}
	if mode == s3.BucketOwnerPreferred && s3.CannedACL(r.call) == "bucket-owner-full-control" {
		g.Holder = owner.ID
		return false, nil
	}
	g.ACL = list.Encode()
	return false, nil
}

// ownACL reads the list that PutObjectAcl gives. The owner of the object gets it with the grant, and a request without a body.
func (f *Front) ownACL(r *s3Request, g *intra.Grant, entry cluster.BucketEntry, enforced bool) (done bool, err error) {
	body, err := f.smallBody(r, s3.MaxSmallBody)
	if err != nil {
		return false, err
	}
	owner := f.bucketOwner(r.view, entry)
	if enforced {
		r.rep.Status = http.StatusOK
		return true, f.checkHarmless(r, body, owner)
	}
	list, named, err := s3.ReadACL(r.call, body, f.aclContext(r.view, owner.Canonical, false))
	if err != nil {
		return false, err
	}
	if err := f.checkPublic(r, entry, list); err != nil {
		return false, err
	}
	g.ACL, g.Holder = list.Encode(), named
	g.Payload = intra.Payload{Mode: "UNSIGNED-PAYLOAD"}
	path := r.req.Path + "?acl"
	if version, ok := r.call.Params.Lookup("versionId"); ok {
		path += "&versionId=" + s3.EscapeText(version)
	}
	req := httpd.NewRequest(http.MethodPut, path, nil, 0, "Host", r.req.Host, HeaderRedirect, "never")
	req.ID, req.Remote, req.TLS = r.req.ID, r.req.Remote, r.req.TLS
	r.req = req
	return false, nil
}

// checkHarmless refuses a list that says anything but what is so anyway where lists do not count. Some clients send back what
// they were told of another object.
func (f *Front) checkHarmless(r *s3Request, body []byte, owner cluster.Owner) error {
	const op = "proxy/front.checkHarmless"
	if len(body) == 0 && s3.HasACL(r.call) && s3.HarmlessACL(r.call) {
		return nil
	}
	list, named, err := s3.ReadACL(r.call, body, f.aclContext(r.view, owner.Canonical, r.call.Key == ""))
	if err != nil || named != owner.Canonical || !list.OwnerOnly(owner.Canonical) {
		return s3.NewFault(op, s3.ACLNotSupported, "")
	}
	return nil
}

// checkPublic refuses a list that is public, where such are blocked.
func (f *Front) checkPublic(r *s3Request, entry cluster.BucketEntry, list *s3.ACL) error {
	block, err := publicAccess.of(r.view, entry.ID)
	if err != nil {
		return err
	}
	if b, ok := block.(*s3.PublicAccessBlock); ok && b.BlockPublicAcls && list.Public() {
		return s3.NewFault("proxy/front.checkPublic", s3.AccessDenied, "User: "+r.who.ARN()+" is not authorized to perform: "+r.call.Action().String()+
			` on resource: "`+resourceARN(r.call.Action(), r.call.Bucket, r.call.Key)+`" because public access control lists (ACLs) are prevented by the BlockPublicAcls setting in S3 Block Public Access.`)
	}
	return nil
}

// newBucketLists returns the documents about ownership and access that a new bucket gets by the headers of the request.
func (f *Front) newBucketLists(r *s3Request) ([]*cluster.BucketConfig, error) {
	const op = "proxy/front.newBucketLists"
	mode := r.call.Get(s3.OwnershipHeader)
	if mode == "" {
		mode = config.S3Ownership.Get(r.view.Setting)
	}
	if mode == s3.BucketOwnerEnforced {
		if s3.HasACL(r.call) && !s3.HarmlessACL(r.call) {
			return nil, s3.NewFault(op, s3.InvalidACLWithOwnership, "")
		}
		return nil, nil
	}
	owner := f.owners.Of(r.view.Identities()).ByID(r.who.OwnerID)
	list, err := s3.ReadACLHeaders(r.call, f.aclContext(r.view, owner.Canonical, true))
	if err != nil {
		return nil, err
	}
	ownership, err := documentOf(&bucketOwnership, &s3.OwnershipControls{Ownership: mode})
	if err != nil || list == nil || list.Encode() == "" {
		return []*cluster.BucketConfig{ownership}, err
	}
	acl, err := documentOf(&bucketACL, list)
	return []*cluster.BucketConfig{ownership, acl}, err
}

func documentOf(k *documentKind, doc any) (*cluster.BucketConfig, error) {
	value, err := json.Marshal(doc)
	if err != nil {
		return nil, cluster.E("proxy/front.documentOf", k.name, cluster.KindOther, err)
	}
	return &cluster.BucketConfig{Kind: k.name, Value: value}, nil
}

// bucketExists says of a bucket that was to be made, and exists, whose it is.
func (f *Front) bucketExists(r *s3Request, err error) error {
	if !cluster.Is(err, cluster.KindBucketExists) {
		return err
	}
	entry, ok := f.o.Control.View().Bucket(cluster.Native(r.call.Bucket))
	if ok && f.bucketOwner(r.view, entry).ID != r.who.OwnerID {
		return s3.NewFault("proxy/front.bucketExists", s3.BucketAlreadyExists, "")
	}
	return err
}

func (f *Front) getBucketACL(ctx context.Context, r *s3Request) error {
	view, entry, err := f.bucket(ctx, cluster.Native(r.call.Bucket))
	if err != nil {
		return err
	}
	acl, err := f.bucketList(view, entry)
	if err != nil {
		return err
	}
	list := s3.OwnerACL()
	if acl != nil {
		list = acl.List
	}
	owners := f.owners.Of(view.Identities())
	r.xml(list.XML(shown(owners.Bucket(&entry)), func(canonical string) string {
		o, _ := owners.ByCanonical(canonical)
		return o.Name
	}))
	return nil
}

func (f *Front) putBucketACL(ctx context.Context, r *s3Request) error {
	view, entry, err := f.bucket(ctx, cluster.Native(r.call.Bucket))
	if err != nil {
		return err
	}
	body, err := f.smallBody(r, s3.MaxSmallBody)
	if err != nil {
		return err
	}
	mode, err := f.ownership(view, entry.ID)
	if err != nil {
		return err
	}
	r.view = view
	owner := f.bucketOwner(view, entry)
	r.rep.Status = http.StatusOK
	if mode == s3.BucketOwnerEnforced {
		return f.checkHarmless(r, body, owner)
	}
	list, named, err := s3.ReadACL(r.call, body, f.aclContext(view, owner.Canonical, true))
	if err != nil {
		return err
	}
	if named != "" && named != owner.Canonical {
		return s3.NewFault("proxy/front.putBucketACL", s3.AccessDenied, "")
	}
	if err := f.checkPublic(r, entry, list); err != nil {
		return err
	}
	doc, err := documentOf(&bucketACL, list)
	if err != nil {
		return err
	}
	return f.o.Control.SetBucketConfig(ctx, r.req.ID, entry.Bucket, doc.Kind, doc.Value)
}

func (f *Front) getOwnership(ctx context.Context, r *s3Request) error {
	view, entry, err := f.bucket(ctx, cluster.Native(r.call.Bucket))
	if err != nil {
		return err
	}
	controls := &s3.OwnershipControls{Ownership: s3.BucketOwnerEnforced}
	if doc, err := bucketOwnership.of(view, entry.ID); err != nil {
		return err
	} else if doc != nil {
		controls = doc.(*s3.OwnershipControls)
	}
	if controls.Ownership == "" {
		return s3.NewFault("proxy/front.getOwnership", s3.NoOwnershipControls, "")
	}
	r.xml(controls.XML())
	return nil
}

// putOwnership sets the mode of ownership. Lists cannot be switched off while that of the bucket allows others anything.
func (f *Front) putOwnership(ctx context.Context, r *s3Request) error {
	view, entry, err := f.bucket(ctx, cluster.Native(r.call.Bucket))
	if err != nil {
		return err
	}
	body, err := f.smallBody(r, s3.MaxSmallBody)
	if err != nil {
		return err
	}
	controls, err := s3.ParseOwnershipControls(body)
	if err != nil {
		return err
	}
	acl, err := f.bucketList(view, entry)
	if err != nil {
		return err
	}
	if controls.Ownership == s3.BucketOwnerEnforced && acl != nil && !acl.List.OwnerOnly(acl.Owner) {
		return s3.NewFault("proxy/front.putOwnership", s3.InvalidACLWithOwnership, "")
	}
	r.rep.Status = http.StatusOK
	return f.setOwnership(ctx, r, entry, controls)
}

// deleteOwnership leaves a bucket without controls, where objects belong to who writes them.
func (f *Front) deleteOwnership(ctx context.Context, r *s3Request) error {
	_, entry, err := f.bucket(ctx, cluster.Native(r.call.Bucket))
	if err != nil {
		return err
	}
	r.rep.Status = http.StatusNoContent
	return f.setOwnership(ctx, r, entry, &s3.OwnershipControls{})
}

func (f *Front) setOwnership(ctx context.Context, r *s3Request, entry cluster.BucketEntry, controls *s3.OwnershipControls) error {
	doc, err := documentOf(&bucketOwnership, controls)
	if err != nil {
		return err
	}
	return f.o.Control.SetBucketConfig(ctx, r.req.ID, entry.Bucket, doc.Kind, doc.Value)
}
