package config

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/aisle-store/aisle/cluster"
)

// The properties of a bucket.
var (
	BucketChecksum = choice(Setting{Name: "checksum.type", Scope: ScopeBucket, Default: "xxhash",
		Help: "checksum that each object carries; buckets made through S3 have md5 (new objects only)"}, checksumNames()...)
	BucketReplicas = key(Setting{Name: "replicas", Scope: ScopeBucket, Type: "number", Default: "1",
		Help: "copies of each object, each on another target, 1 to 8; given when the bucket is made, and fixed from then on"}, parseReplicas)
	BucketMinCopies = key(Setting{Name: "min_copies", Scope: ScopeBucket, Type: "auto|number", Default: "auto",
		Help: "on how many targets a write must be durable before it is acknowledged, at most `replicas`; auto is two, or one where there is one copy"}, parseMinCopies)
	BucketRedirect = choice(Setting{Name: "redirect", Scope: ScopeBucket, Default: redirectByCluster,
		Help: "who is redirected when it is about this bucket, in place of what `s3.redirect` of the cluster says; when that is never, nobody is"},
		redirectByCluster, "auto", "always", "never")
)

// auto is how a user leaves a number to the cluster.
const auto = "auto"

// redirectByCluster is how a user writes that a bucket leaves redirects to the cluster's setting.
const redirectByCluster = "cluster"

func checksumNames() []string {
	names := make([]string, len(cluster.ChecksumTypes))
	for i, t := range cluster.ChecksumTypes {
		names[i] = string(t)
	}
	return names
}

func parseReplicas(v string) (int, error) {
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > 8 {
		return 0, fmt.Errorf("%q is not a number of copies from 1 to 8", v)
	}
	return n, nil
}

// parseMinCopies reads a number of copies; auto is 0.
func parseMinCopies(v string) (int, error) {
	if v == auto {
		return 0, nil
	}
	return parseReplicas(v)
}

// DefaultProps returns the properties of a bucket made through the native API; through S3 its checksum type is md5.
func DefaultProps() cluster.BucketProps {
	none := func(string) string { return "" }
	return cluster.BucketProps{
		Checksum: cluster.ChecksumType(BucketChecksum.Get(none)),
		Replicas: BucketReplicas.Get(none),
	}
}

// refusedProps are properties of AIStore or of later versions that change how data is kept: they are refused, not ignored.
var refusedProps = []string{"ec", "mirror", "versioning", "lru", "backend_bck", "write_policy", "chunks", "rate_limit"}

// SetProps changes p by name=value pairs. What is not supported is KindNotImplemented, what is wrong KindInvalid.
func SetProps(p cluster.BucketProps, changes map[string]string) (cluster.BucketProps, error) {
	const op = "cluster/config.SetProps"
	for name, value := range changes {
		var err error
		switch name {
		case BucketChecksum.Name:
			var s string
			s, err = BucketChecksum.Parse(value)
			p.Checksum = cluster.ChecksumType(s)
		case BucketReplicas.Name:
			p.Replicas, err = BucketReplicas.Parse(value)
		case BucketMinCopies.Name:
			p.MinCopies, err = BucketMinCopies.Parse(value)
		case BucketRedirect.Name:
			p.Redirect, err = BucketRedirect.Parse(value)
			if p.Redirect == redirectByCluster {
				p.Redirect = ""
			}
		default:
			return p, refuseProp(name)
		}
		if err != nil {
			return p, cluster.E(op, "", cluster.KindInvalid, err)
		}
	}
	if err := p.Validate(); err != nil {
		return p, cluster.E(op, "", cluster.KindInvalid, err)
	}
	return p, nil
}

func refuseProp(name string) error {
	const op = "cluster/config.SetProps"
	section, _, _ := strings.Cut(name, ".")
	for _, refused := range refusedProps {
		if section == refused {
			return cluster.Fail(op, name, cluster.KindNotImplemented, "this property is not implemented yet")
		}
	}
	return cluster.Fail(op, name, cluster.KindInvalid, "there is no such bucket property; there are "+strings.Join(namesOf(Bucket()), ", "))
}

// PropsMap returns the properties as name=value pairs.
func PropsMap(p cluster.BucketProps) map[string]string {
	minCopies := auto
	if p.MinCopies > 0 {
		minCopies = strconv.Itoa(p.MinCopies)
	}
	return map[string]string{
		BucketChecksum.Name:  string(p.Checksum),
		BucketReplicas.Name:  strconv.Itoa(p.Replicas),
		BucketMinCopies.Name: minCopies,
		BucketRedirect.Name:  cmp.Or(p.Redirect, redirectByCluster),
	}
}
