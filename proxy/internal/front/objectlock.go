package front

import (
	"bytes"
	"context"
	"strconv"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/intra"
	"github.com/aisle-store/aisle/proxy/internal/access"
	"github.com/aisle-store/aisle/s3"
	"github.com/aisle-store/aisle/s3/policy"
)

func (f *Front) getObjectLock(ctx context.Context, r *s3Request) error {
	const op = "proxy/front.getObjectLock"
	_, entry, err := f.bucket(ctx, cluster.Native(r.call.Bucket))
	if err != nil {
		return err
	}
	if !entry.Props.Lock.Enabled {
		return s3.NewFault(op, s3.NoBucketLock, "")
	}
	r.xml(s3.ObjectLockXML(entry.Props.Lock))
	return nil
}

// putObjectLock switches object lock on for a bucket that has versions, or sets the retention that new versions get.
func (f *Front) putObjectLock(ctx context.Context, r *s3Request) error {
	const op = "proxy/front.putObjectLock"
	return f.changeProps(ctx, r, func(body []byte, props *cluster.BucketProps) (err error) {
		if props.Lock, err = s3.ParseObjectLock(body); err != nil {
			return err
		}
		if props.Versioning != cluster.VersioningEnabled {
			return s3.NewFault(op, s3.InvalidBucketState, "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration")
		}
		return nil
	})
}

// maxJudgedBody bounds the body, with its framing, that policies judge.
const maxJudgedBody = 2 * s3.MaxSmallBody

// readNewBucket checks the name that a new bucket is to have, and reads the body of CreateBucket.
func (f *Front) readNewBucket(r *s3Request) error {
	const op = "proxy/front.readNewBucket"
	if err := cluster.ValidateNewBucketName(r.call.Bucket); err != nil {
		return s3.NewFault(op, s3.InvalidBucketName, err.Error())
	}
	body, err := f.smallBody(r, s3.MaxSmallBody)
	if err != nil {
		return err
	}
	r.asked, err = s3.ParseCreateBucket(body)
	r.context.location = r.asked.Location
	return err
}

// readJudgedBody keeps the body of a request that changes the lock or the tags of an object: policies judge what it asks for, and
// its owner reads it again.
func (f *Front) readJudgedBody(r *s3Request) error {
	const op = "proxy/front.readJudgedBody"
	if r.call.Op == s3.CreateBucket {
		return f.readNewBucket(r)
	}
	if r.call.Op != s3.PutObjectRetention && r.call.Op != s3.PutObjectLegalHold && r.call.Op != s3.PutObjectTagging {
		return nil
	}
	switch {
	case r.req.Length < 0:
		return s3.NewFault(op, s3.MissingContentLength, "")
	case r.req.Length > maxJudgedBody:
		return s3.NewFault(op, s3.MaxMessageLengthExceeded, "", s3.Field{Name: "MaxMessageLengthBytes", Value: strconv.Itoa(s3.MaxSmallBody)})
	}
	raw, err := r.req.Keep()
	if err != nil {
		return err
	}
	body, err := f.decodeSmall(r, bytes.NewReader(raw), s3.MaxSmallBody)
	if err != nil {
		return err
	}
	if r.call.Op == s3.PutObjectTagging {
		r.context.tagged, err = s3.ParseObjectTagging(body)
		return err
	}
	var lock s3.ObjectLock
	if r.call.Op == s3.PutObjectRetention {
		lock, err = s3.ParseRetention(body, f.o.Now())
	} else {
		lock, err = s3.ParseLegalHold(body)
	}
	r.context.lock = &lock
	return err
}

// ofLock answers for the condition keys that begin with s3:object-lock-: what the request asks for.
func (c *conditions) ofLock(name string) string {
	lock := c.lock
	if lock == nil {
		l, err := s3.ReadLock(c.call, time.Time{})
		if err != nil {
			return "" // the request is refused before it does anything
		}
		lock = &l
	}
	switch {
	case name == "legal-hold":
		return string(lock.Hold)
	case lock.Mode == "":
		return ""
	case name == "mode":
		return string(lock.Mode)
	case name == "retain-until-date":
		return s3.FormatTime(lock.Until)
	case name == "remaining-retention-days":
		const day = 24 * time.Hour
		return strconv.FormatInt(int64((lock.Until.Sub(c.now)+day-1)/day), 10)
	}
	return ""
}

// may reports whether the caller may do something that it need not.
func (f *Front) may(j *judged, action policy.Action, bucket cluster.BucketName, key cluster.ObjectKey, res access.Resource) bool {
	return j.who.Principal.Root && res.Policy == nil || f.mayNot(j, action, resourceARN(action, bucket, key), res) == nil
}

// grantLock finds what the caller may do to locks besides. Who may not bypass a retention is not refused for asking: consoles
// always ask.
func (f *Front) grantLock(r *s3Request, res access.Resource) error {
	if !r.context.bucket.Props.Lock.Enabled {
		return nil
	}
	grant := func(right intra.Rights, action policy.Action) {
		if f.may(&r.judged, action, r.call.Bucket, r.call.Key, res) {
			r.rights |= right
		}
	}
	switch r.call.Op {
	case s3.GetObject, s3.HeadObject:
		grant(intra.SeeRetention, policy.GetObjectRetention)
		grant(intra.SeeHold, policy.GetObjectLegalHold)
	case s3.DeleteObject, s3.PutObjectRetention:
		bypass, err := s3.AsksForBypass(r.call)
		if err != nil {
			return err
		}
		if bypass {
			grant(intra.BypassRetention, policy.BypassGovernanceRetention)
		}
	}
	return nil
}
