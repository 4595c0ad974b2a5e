package front

import (
	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/intra"
	"github.com/aisle-store/aisle/s3"
)

// holder is who owns what a granted request makes, as records keep it.
func holder(g *intra.Grant) cluster.AccessKeyID {
	if g.Holder != "" {
		return cluster.AccessKeyID(g.Holder)
	}
	return g.Identity
}

func (r *request) holder() cluster.AccessKeyID { return holder(r.grant) }

// recorded returns the owner that a record names.
func (f *Front) recorded(text cluster.AccessKeyID) cluster.Owner {
	state := f.o.Control.Applied()
	return f.owners.Of(state.Identities()).Recorded(text, func(id cluster.AccessKeyID) (cluster.UserName, bool, bool) {
		key, ok := state.Key(id)
		return key.User, key.Root, ok
	})
}

// owner is how the owner of an object shows in S3's XML: where lists do not count, the grant names the bucket's.
func (f *Front) owner(r *request, text cluster.AccessKeyID) s3.Owner {
	o := f.recorded(text)
	if r.grant.Holder != "" {
		o = f.owners.Of(f.o.Control.Applied().Identities()).ByID(r.grant.Holder)
	}
	return s3.Owner{ID: o.Canonical, DisplayName: o.Name}
}
