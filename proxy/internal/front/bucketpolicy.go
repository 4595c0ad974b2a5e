package front

import (
	"context"
	"net/http"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/control"
	"github.com/aisle-store/aisle/proxy/internal/access"
	"github.com/aisle-store/aisle/s3"
	"github.com/aisle-store/aisle/s3/policy"
)

// policyKind is the kind of the document that is a bucket's policy.
const policyKind = "policy"

var (
	publicAccess = documentKind{
		name: "public-access-block", parse: parsed(s3.ParsePublicAccessBlock), decode: s3.DecodePublicAccessBlock, status: http.StatusOK,
		missing: s3.NoSuchPublicAccessBlock,
	}
)

// ofPolicy are the operations on a bucket's policy: the root key may do them whatever the policy says, or a policy that
// denies everything could never be taken away.
var ofPolicy = map[s3.Operation]bool{s3.GetBucketPolicy: true, s3.PutBucketPolicy: true, s3.DeleteBucketPolicy: true}

// bucketResource is what a bucket that is there adds to the decision about a request. A policy that is public allows nothing to
// those without a key while the bucket is restricted.
func (f *Front) bucketResource(j *judged, view *control.View, entry cluster.BucketEntry) (access.Resource, error) {
	const op = "proxy/front.bucketResource"
	var res access.Resource
	var err error
	if res.ACL, err = f.bucketList(view, entry); err != nil {
		return res, err
	}
	config, ok := view.BucketConfig(entry.ID, policyKind)
	if !ok {
		return res, nil
	}
	name := entry.Bucket.Name
	p, err := config.Parsed(func(value []byte) (any, error) { return parsePolicy(value, name) })
	if err != nil {
		return access.Resource{}, cluster.E(op, entry.Bucket.String(), cluster.KindOther, err)
	}
	res.Policy = p.(*policy.Policy)
	if j.who != f.anonymous {
		return res, nil
	}
	block, err := publicAccess.of(view, entry.ID)
	if err != nil {
		return access.Resource{}, err
	}
	if b, ok := block.(*s3.PublicAccessBlock); ok && b.RestrictPublicBuckets && res.Policy.Public() {
		res.Restricted = true
	}
	return res, nil
}

func parsePolicy(value []byte, name cluster.BucketName) (*policy.Policy, error) {
	return policy.Parse(value, policy.Options{Kind: policy.Bucket, Bucket: string(name)})
}

// bucketPolicy returns the policy that a bucket has.
func (f *Front) bucketPolicy(ctx context.Context, r *s3Request) (view *control.View, entry cluster.BucketEntry, value []byte, err error) {
	if view, entry, err = f.bucket(ctx, cluster.Native(r.call.Bucket)); err != nil {
		return view, entry, nil, err
	}
	if config, ok := view.BucketConfig(entry.ID, policyKind); ok {
		value = config.Value
	}
	return view, entry, value, nil
}

func (f *Front) getBucketPolicy(ctx context.Context, r *s3Request) error {
	const op = "proxy/front.getBucketPolicy"
	view, _, value, err := f.bucketPolicy(ctx, r)
	if err != nil {
		return err
	}
	if value == nil {
		return s3.NewFault(op, s3.NoSuchBucketPolicy, "")
	}
	r.rep.Status = http.StatusOK
	r.rep.Bytes("application/json", []byte(access.Shown(view.Identities(), string(value))))
	return nil
}

func (f *Front) putBucketPolicy(ctx context.Context, r *s3Request) error {
	const op = "proxy/front.putBucketPolicy"
	view, entry, _, err := f.bucketPolicy(ctx, r)
	if err != nil {
		return err
	}
	body, err := f.smallBody(r, s3.MaxSmallBody)
	if err != nil {
		return err
	}
	p, err := policy.Parse(body, policy.Options{Kind: policy.Bucket, Bucket: string(r.call.Bucket), New: true})
	if err != nil {
		return s3.NewFault(op, s3.MalformedPolicy, err.Error())
	}
	stored, err := access.Stored(view.Identities(), string(body))
	if err != nil {
		return s3.NewFault(op, s3.MalformedPolicy, err.Error())
	}
	block, err := publicAccess.of(view, entry.ID)
	if err != nil {
		return err
	}
	if b, ok := block.(*s3.PublicAccessBlock); ok && b.BlockPublicPolicy && p.Public() {
		return s3.NewFault(op, s3.AccessDenied, "User: "+r.who.ARN()+" is not authorized to perform: s3:PutBucketPolicy on resource: \"arn:aws:s3:::"+
			string(r.call.Bucket)+"\" because public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access.")
	}
	r.rep.Status = http.StatusNoContent
	return f.o.Control.SetBucketConfig(ctx, r.req.ID, entry.Bucket, policyKind, []byte(stored))
}

func (f *Front) deleteBucketPolicy(ctx context.Context, r *s3Request) error {
	r.rep.Status = http.StatusNoContent
	return f.o.Control.SetBucketConfig(ctx, r.req.ID, cluster.Native(r.call.Bucket), policyKind, nil)
}

func (f *Front) bucketPolicyStatus(ctx context.Context, r *s3Request) error {
	const op = "proxy/front.bucketPolicyStatus"
	view, entry, value, err := f.bucketPolicy(ctx, r)
	if err != nil {
		return err
	}
	public := false
	if value != nil {
		p, err := parsePolicy(value, entry.Bucket.Name)
		if err != nil {
			return cluster.E(op, entry.Bucket.String(), cluster.KindOther, err)
		}
		public = p.Public()
	}
	if list, err := f.bucketList(view, entry); err != nil {
		return err
	} else if list != nil && !list.IgnorePublic {
		public = public || list.List.Public()
	}
	r.xml(s3.PolicyStatusXML(public))
	return nil
}
