package front

import (
	"context"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/cluster/control"
	"github.com/aisle-store/aisle/cluster/intra"
	"github.com/aisle-store/aisle/proxy/internal/access"
	"github.com/aisle-store/aisle/s3"
	"github.com/aisle-store/aisle/s3/policy"
)

// caller is who sent a request: a key, and what its owner may. The key of nobody is zero.
type caller struct {
	key control.Key
	who *access.Subject
}

// book returns the compiled identities of a view.
func (f *Front) book(view *control.View) *access.Book {
	b := f.identities.Load()
	if now := view.Identities(); b == nil || b.Identities() != now {
		b = access.NewBook(now)
		f.identities.Store(b)
	}
	return b
}

// caller finds who has a key whose signature holds.
// token is that of a session, whose signature holds with it, or "".
func (f *Front) caller(view *control.View, id cluster.AccessKeyID, token string) (caller, error) {
	const op = "proxy/front.caller"
	if id.IsTemporary() && token != "" {
		if by, ok := f.sessionCaller(view, id, token); ok {
			return by, nil
		}
		return caller{}, s3.NewFault(op, s3.InvalidToken, "")
	}
	key, ok := view.Key(id)
	if ok && key.Root {
		return caller{key, f.root}, nil
	}
	if ok && !key.Inactive {
		if who, ok := f.book(view).User(key.User); ok {
			return caller{key, who}, nil
		}
	}
	return caller{}, s3.NewFault(op, s3.InvalidAccessKeyID, "", s3.Field{Name: "AWSAccessKeyId", Value: string(id)})
}

// judged is one thing that a request wants to do, with what its conditions are judged by.
type judged struct {
	caller
	context conditions
}

// asMaker judges a bucket that is being made by whose it will be.
func (j *judged) asMaker() {
	j.context.bucket.Owner, j.context.bucket.OwnerID = j.who.User, j.who.OwnerID
}

// allow judges one action on a bucket, or on an object of it. What is denied is told to the client in AWS's words, and to the
// audit with the statement that decided.
func (f *Front) allow(j *judged, action policy.Action, bucket cluster.BucketName, key cluster.ObjectKey, res access.Resource) error {
	if j.who.Principal.Root && res.Policy == nil {
		return nil
	}
	return f.allowOn(j, action, resourceARN(action, bucket, key), res)
}

// allowObject is allow for an action on an object whose owner judges what depends on the object: that is added to rest.
func (f *Front) allowObject(j *judged, action policy.Action, bucket cluster.BucketName, key cluster.ObjectKey, res access.Resource, rest *[]s3.Proviso) error {
	if j.who.Principal.Root && res.Policy == nil {
		return nil
	}
	resource := resourceARN(action, bucket, key)
	d := j.who.Decide(&policy.Request{Action: action, Resource: resource, Context: &j.context, Defer: true}, res)
	if !d.Allowed {
		return f.denied(j, action, resource, &d)
	}
	if d.Rest != nil {
		*rest = append(*rest, *d.Rest)
	}
	return nil
}

func (f *Front) allowOn(j *judged, action policy.Action, resource string, res access.Resource) error {
	if d := f.mayNot(j, action, resource, res); d != nil {
		return f.denied(j, action, resource, d)
	}
	return nil
}

// mayNot returns why the caller may not do something, or nil.
func (f *Front) mayNot(j *judged, action policy.Action, resource string, res access.Resource) *access.Decision {
	d := j.who.Decide(&policy.Request{Action: action, Resource: resource, Context: &j.context}, res)
	if d.Allowed {
		return nil
	}
	return &d
}

// denied is the answer to what the caller may not do.
func (f *Front) denied(j *judged, action policy.Action, resource string, d *access.Decision) error {
	const op = "proxy/front.allow"
	f.o.Audit.Denied(api.Denial{
		Request: string(j.context.req.ID), Identity: string(j.key.ID), Principal: j.who.ARN(), Action: action.String(), Resource: resource, Why: d.Why(),
	})
	message := ""
	if arn := j.who.ARN(); arn != "" {
		message = "User: " + arn + " is not authorized to perform: " + action.String() + ` on resource: "` + resource + `" ` + d.Reason(action.String())
	}
	return s3.NewFault(op, s3.AccessDenied, message)
}

// resourceARN is what an action is done to, as policies name it.
func resourceARN(action policy.Action, bucket cluster.BucketName, key cluster.ObjectKey) string {
	const prefix = "arn:aws:s3:::"
	switch action.On() {
	case policy.OnBucket:
		return prefix + string(bucket)
	case policy.OnObject:
		return prefix + string(bucket) + "/" + string(key)
	}
	return "*"
}

// authorize judges a request of S3 as a whole. A list of buckets, and the deletion of many objects, are judged where each
// bucket and key is known.
func (f *Front) authorize(ctx context.Context, r *s3Request) error {
	if r.call.Op == s3.ListBuckets || r.call.Op == s3.DeleteObjects {
		return nil
	}
	res, err := f.resource(ctx, &r.judged, r.view, r.call.Bucket, r.call.Op == s3.CreateBucket)
	if err != nil {
		return err
	}
	if err := f.checkOwner(&r.judged, r.view, r.call.ExpectedOwner); err != nil {
		return err
	}
	res.Owner = r.who.Principal.Root && ofPolicy[r.call.Op]
	unread := f.readJudgedBody(r)
	if err := f.allowed(r, r.call.Action(), r.call.Bucket, r.call.Key, res); err != nil {
		return err
	}
	if unread != nil {
		return unread
	}
	r.hide = (!r.call.Op.Writes() || ofObject[r.call.Op]) && r.call.Op.OnObject() && f.hides(&r.judged, r.call.Bucket, res)
	needs, err := r.call.Needs()
	if err != nil {
		return err
	}
	if r.call.Op == s3.CreateBucket {
		r.asMaker()
	}
	bucket := r.context.bucket
	for _, n := range needs {
		of := res
		r.context.bucket, r.context.version = bucket, n.Version
		if n.Bucket != r.call.Bucket {
			if of, err = f.resource(ctx, &r.judged, r.view, n.Bucket, false); err != nil {
				return err
			}
		}
		if n.Source {
			if err := f.checkOwner(&r.judged, r.view, r.call.Get("x-amz-source-expected-bucket-owner")); err != nil {
				return err
			}
			if err = f.allowObject(&r.judged, n.Action, n.Bucket, n.Key, of, &r.source); err == nil && r.call.Op == s3.CopyObject {
				r.rights |= f.tagRights(&r.judged, n, of, bucket, r.call.Key, res)
			}
		} else if n.Own && of.ACL.Grants(r.who, r.call.Action()) {
			err = f.notRefused(&r.judged, n, of)
		} else {
			err = f.allowed(r, n.Action, n.Bucket, n.Key, of)
		}
		if err != nil {
			return err
		}
	}
	r.context.bucket, r.context.version = bucket, ""
	return f.grantLock(r, res)
}

// notRefused judges who may write by the list of a bucket, owns what it writes and so may give it a list, unless a policy denies that.
func (f *Front) notRefused(j *judged, n s3.Need, res access.Resource) error {
	resource := resourceARN(n.Action, n.Bucket, n.Key)
	if d := f.mayNot(j, n.Action, resource, res); d != nil && d.Explicit() {
		return f.denied(j, n.Action, resource, d)
	}
	return nil
}

// tagRights finds whether a copy to a key of a bucket may carry the tags of its source, which is judged already. Who may not is
// refused by the owner of the copy if there are any.
func (f *Front) tagRights(j *judged, source s3.Need, of access.Resource, bucket cluster.BucketEntry, key cluster.ObjectKey, res access.Resource) intra.Rights {
	if !f.may(j, s3.OfVersion(policy.GetObjectTagging, source.Version), source.Bucket, source.Key, of) {
		return 0
	}
	j.context.bucket, j.context.version = bucket, ""
	if !f.may(j, policy.PutObjectTagging, bucket.Bucket.Name, key, res) {
		return 0
	}
	return intra.CarryTags
}

// checkOwner refuses a request about a bucket that is not whose the client takes it for. All buckets are of one account; their
// owners show by their keys, too.
func (f *Front) checkOwner(j *judged, view *control.View, expected string) error {
	b := &j.context.bucket
	if expected == "" || b.ID == 0 || expected == cluster.Account || expected == string(b.Creator) || expected == string(b.Owner) {
		return nil
	}
	if expected == f.bucketOwner(view, *b).Canonical {
		return nil
	}
	return s3.NewFault("proxy/front.checkOwner", s3.AccessDenied, "")
}

// ofObject are the operations that the owner of the object judges as far as they depend on it.
var ofObject = map[s3.Operation]bool{
	s3.GetObject: true, s3.HeadObject: true, s3.GetObjectAttributes: true, s3.GetObjectACL: true, s3.PutObjectACL: true,
	s3.GetObjectTagging: true, s3.PutObjectTagging: true, s3.DeleteObjectTagging: true,
}

// allowed judges one action that a request needs on its bucket or object.
func (f *Front) allowed(r *s3Request, action policy.Action, bucket cluster.BucketName, key cluster.ObjectKey, res access.Resource) error {
	if ofObject[r.call.Op] {
		return f.allowObject(&r.judged, action, bucket, key, res, &r.provisos)
	}
	return f.allow(&r.judged, action, bucket, key, res)
}

// resource finds what a bucket adds to the decision about a request. That a bucket does not exist is told to everybody, as on
// AWS; one that is about to be made adds nothing.
func (f *Front) resource(ctx context.Context, j *judged, view *control.View, name cluster.BucketName, made bool) (access.Resource, error) {
	j.context.bucket = cluster.BucketEntry{}
	if made {
		return access.Resource{}, nil
	}
	entry, ok := view.Bucket(cluster.Native(name))
	if !ok && j.who.Principal.Root {
		return access.Resource{}, nil // which is told later what there is not
	}
	if !ok && j.who == f.anonymous {
		// A bucket that was made for certain is in the view; nobody without a key makes the leader work.
		return access.Resource{}, s3.NewFault("proxy/front.resource", s3.NoSuchBucket, "")
	}
	if !ok {
		var err error
		if view, entry, err = f.bucket(ctx, cluster.Native(name)); err != nil {
			return access.Resource{}, err
		}
	}
	j.context.bucket = f.ownedNow(view, entry)
	return f.bucketResource(j, view, entry)
}

// hides reports whether the caller must not learn that an object does not exist: who may not list a bucket is told that
// access is denied.
func (f *Front) hides(j *judged, name cluster.BucketName, res access.Resource) bool {
	return !j.who.Principal.Root && f.mayNot(j, policy.ListBucket, resourceARN(policy.ListBucket, name, ""), res) != nil
}
