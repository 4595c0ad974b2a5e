package front

import (
	"context"
	"encoding/base64"
	"net/netip"

	"github.com/aisle-store/aisle/cluster/config"
	"github.com/aisle-store/aisle/s3"
)

// sealCustomerKeys checks the customers' keys of a request, and seals them under the cluster key: the request may go to another
// node, in the clear. They are taken over https only, from the machine itself, and where the cluster setting allows it.
func (f *Front) sealCustomerKeys(r *s3Request) error {
	const op = "proxy/front.sealCustomerKeys"
	if !r.call.SpeaksOfEncryption() {
		return nil
	}
	own, err := s3.ReadCustomerKey(r.call, s3.DecodeCustomerKey)
	if err != nil {
		return err
	}
	source, err := s3.ReadSourceKey(r.call, s3.DecodeCustomerKey)
	if err != nil {
		return err
	}
	if own == nil && source == nil {
		return nil
	}
	if !r.req.TLS && !isLoopback(r.req.Remote) && config.S3CustomerKeysInClear.Get(r.view.Setting) != "true" {
		return s3.NewFault(op, s3.InvalidRequest, "Requests specifying Server Side Encryption with Customer provided keys must be made over a secure connection.")
	}
	for name, k := range map[string]*s3.CustomerKey{s3.HeaderCustomerKey: own, s3.HeaderCopyCustomerKey: source} {
		if k == nil {
			continue
		}
		sealed, err := f.o.Control.Seal(k.Key)
		clear(k.Key)
		if err != nil {
			return err
		}
		r.req.Header.Set(name, base64.StdEncoding.EncodeToString(sealed))
	}
	return nil
}

// getBucketEncryption answers with what the bucket says or, where it says nothing, the cluster.
func (f *Front) getBucketEncryption(ctx context.Context, r *s3Request) error {
	kind := bucketEncryption
	if config.NewBucketEncryption.Get(r.view.Setting) == s3.EncryptS3 {
		kind.initial = &s3.BucketEncryption{Method: s3.EncryptS3}
	}
	return kind.get(f, ctx, r)
}

// isLoopback reports whether a connection comes from the machine itself.
func isLoopback(remote string) bool {
	addr, err := netip.ParseAddrPort(remote)
	return err == nil && addr.Addr().Unmap().IsLoopback()
}
