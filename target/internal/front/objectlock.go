package front

import (
	"context"
	"net/http"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/intra"
	"github.com/aisle-store/aisle/s3"
	"github.com/aisle-store/aisle/target/internal/store"
)

// lockable refuses a request about locks in a bucket without object lock.
func (r *request) lockable() error {
	if r.bucket.Props.Lock.Enabled {
		return nil
	}
	return s3.NewFault("target/front.lockable", s3.InvalidRequest, "Bucket is missing Object Lock Configuration")
}

// readLock returns how the headers of a request lock the version that it makes.
func (f *Front) readLock(r *request) (store.Lock, error) {
	lock, err := s3.ReadLock(r.call, f.o.Now())
	if err == nil && (lock != s3.ObjectLock{}) {
		err = r.lockable()
	}
	return store.Lock(lock), err
}

// lockHeaders returns what the caller may be told of an object's lock.
func (r *request) lockHeaders(info *store.Info) []s3.Field {
	if (info.Lock == store.Lock{}) {
		return nil
	}
	var shown s3.ObjectLock
	if r.grant.Rights&intra.SeeRetention != 0 {
		shown.Mode, shown.Until = info.Lock.Mode, info.Lock.Until
	}
	if r.grant.Rights&intra.SeeHold != 0 {
		shown.Hold = info.Lock.Hold
	}
	return shown.Headers()
}

// getRetention serves GetObjectRetention.
func (f *Front) getRetention(ctx context.Context, r *request) error {
	return f.getLock(ctx, r, func(l s3.ObjectLock) []byte {
		if l.Mode == "" {
			return nil
		}
		return l.RetentionXML()
	})
}

// getLegalHold serves GetObjectLegalHold.
func (f *Front) getLegalHold(ctx context.Context, r *request) error {
	return f.getLock(ctx, r, func(l s3.ObjectLock) []byte {
		if l.Hold == "" {
			return nil
		}
		return l.LegalHoldXML()
	})
}

// getLock answers with what tell says of an object's lock; nil is that there is nothing to say.
func (f *Front) getLock(ctx context.Context, r *request, tell func(s3.ObjectLock) []byte) error {
	const op = "target/front.getLock"
	if err := r.lockable(); err != nil {
		return err
	}
	read := &store.GetRequest{Call: r.attempt(), Bucket: r.bucket, Key: r.grant.Key, Version: r.version}
	info, err := f.o.Store.Stat(ctx, read)
	if err != nil {
		return f.notRead(ctx, r, read, err)
	}
	document := tell(s3.ObjectLock(info.Lock))
	if document == nil {
		return s3.NewFault(op, s3.NoObjectLock, "")
	}
	r.rep.Status = http.StatusOK
	r.rep.Bytes(s3.ContentTypeXML, document)
	return nil
}

// putRetention serves PutObjectRetention.
func (f *Front) putRetention(ctx context.Context, r *request) error {
	return f.putLock(ctx, r, func(body []byte) (*store.LockChange, error) {
		l, err := s3.ParseRetention(body, f.o.Now())
		lock := store.Lock(l)
		return &store.LockChange{Retention: &lock, Bypass: r.grant.Rights&intra.BypassRetention != 0}, err
	})
}

// putLegalHold serves PutObjectLegalHold.
func (f *Front) putLegalHold(ctx context.Context, r *request) error {
	return f.putLock(ctx, r, func(body []byte) (*store.LockChange, error) {
		l, err := s3.ParseLegalHold(body)
		return &store.LockChange{Hold: l.Hold}, err
	})
}

func (f *Front) putLock(ctx context.Context, r *request, parse func(body []byte) (*store.LockChange, error)) error {
	if err := r.lockable(); err != nil {
		return err
	}
	body, err := f.smallBody(r)
	if err != nil {
		return err
	}
	change, err := parse(body)
	if err != nil {
		return err
	}
	_, err = f.o.Store.Update(ctx, &store.UpdateRequest{
		Call: r.attempt(), Bucket: r.bucket, Key: r.grant.Key, Version: r.version, Lock: change, KeepModified: true,
	})
	if marker := store.MarkerOf(err); marker != nil {
		return foundMarker(cluster.KindOf(err), marker)
	}
	if err != nil {
		return err
	}
	r.rep.Status = http.StatusOK
	return nil
}
