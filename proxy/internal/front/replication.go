package front

import (
	"context"
	"net/http"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/s3"
)

// bucketReplication is kept of buckets whose rules are all switched off: nothing is replicated to another bucket.
var bucketReplication = documentKind{
	name: "replication", parse: parsed(s3.ParseReplication), check: checkReplication, decode: s3.DecodeReplication, status: http.StatusOK, missing: s3.NoReplication,
}

// checkReplication refuses what AWS refuses of a configuration that is well formed, and then one that would have to be carried out.
func checkReplication(f *Front, ctx context.Context, r *s3Request, doc document) error {
	const op = "proxy/front.checkReplication"
	c := doc.(*s3.Replication)
	_, entry, err := f.bucket(ctx, cluster.Native(r.call.Bucket))
	if err != nil {
		return err
	}
	if entry.Props.Versioning != cluster.VersioningEnabled {
		return s3.NewFault(op, s3.InvalidRequest, "Versioning must be 'Enabled' on the bucket to apply a replication configuration")
	}
	for _, name := range c.Destinations {
		_, to, err := f.bucket(ctx, cluster.Native(name))
		switch {
		case cluster.Is(err, cluster.KindBucketNotFound):
			return s3.NewFault(op, s3.InvalidRequest, "Destination bucket must exist.")
		case err != nil:
			return err
		case to.ID == entry.ID:
			return s3.NewFault(op, s3.InvalidRequest, "Destination bucket cannot be the same as the source bucket.")
		case to.Props.Versioning != cluster.VersioningEnabled:
			return s3.NewFault(op, s3.InvalidRequest, "Destination bucket must have versioning enabled.")
		}
	}
	if c.Enabled {
		return s3.NewFault(op, s3.NotImplemented, "Replication to another bucket is not implemented.")
	}
	return nil
}
