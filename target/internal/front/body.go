package front

import (
	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/s3"
	"github.com/aisle-store/aisle/target/internal/store"
)

// upload is a request's body on its way into the store, with what the request says of it.
type upload struct {
	body    *s3.Body
	want    []cluster.ChecksumType
	expect  store.Sums
	trailer store.SumSource // nil for none
}

// openUpload takes the framing off the request's body and gathers every checksum that it must have.
func (f *Front) openUpload(r *request) (*upload, error) {
	md5, sum, err := s3.RequestChecksums(r.call)
	if err != nil {
		return nil, err
	}
	u := &upload{}
	if md5 != nil {
		u.expect = append(u.expect, store.Sum{Type: cluster.ChecksumMD5, Value: md5})
	}
	if sum != nil {
		u.want = append(u.want, sum.Algorithm.Type())
		if sum.Trailer {
			u.trailer = trailer{sum}
		} else {
			u.expect = append(u.expect, store.Sum{Type: sum.Algorithm.Type(), Value: sum.Value})
		}
	}
	u.body, err = f.openBody(r, sum)
	return u, err
}

// openBody returns the verified body of the request.
func (f *Front) openBody(r *request, sum *s3.Checksum) (*s3.Body, error) {
	const op = "target/front.openBody"
	o := s3.BodyOptions{Payload: s3.Payload(r.grant.Payload), Checksum: sum}
	if o.Payload.SignedChunks() {
		key, ok := f.o.Control.Applied().Key(r.grant.Identity)
		if !ok {
			return nil, s3.NewFault(op, s3.InvalidAccessKeyID, "")
		}
		o.Key = f.keys.Get(key.ID, key.Secret, o.Payload.Scope)
	}
	return s3.OpenBody(r.req.Body, o)
}

// trailer gives the store the checksum that came behind the body.
type trailer struct{ sum *s3.Checksum }

// Sums implements store.SumSource.
func (t trailer) Sums() (store.Sums, error) {
	return store.Sums{{Type: t.sum.Algorithm.Type(), Value: t.sum.Value}}, nil
}

// objectBody sends an open object.
type objectBody struct{ object *store.Object }

// Next implements httpd.Body.
func (b objectBody) Next() (httpd.Section, error) {
	bytes, err := b.object.Next()
	return httpd.Section{Bytes: bytes}, err
}

// Close implements httpd.Body.
func (b objectBody) Close() error { return b.object.Close() }
