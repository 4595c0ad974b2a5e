package s3

import (
	"strings"
	"unicode/utf8"

	"github.com/aisle-store/aisle/cluster"
)

// CopySource is the object that x-amz-copy-source names.
type CopySource struct {
	Bucket  cluster.BucketName
	Key     cluster.ObjectKey
	Version cluster.VersionID // "" for the current one
}

// ParseCopySource reads x-amz-copy-source: bucket/key or /bucket/key, percent-encoded, with ?versionId= behind it or without.
func ParseCopySource(s string) (CopySource, error) {
	const op = "s3.ParseCopySource"
	invalid := func(message string) (CopySource, error) {
		return CopySource{}, invalidArgument(op, "x-amz-copy-source", s, message)
	}
	if strings.HasPrefix(s, "arn:") {
		return CopySource{}, notImplemented(op, "Access points are not implemented.", Field{"Header", "x-amz-copy-source"})
	}
	path, query, queried := strings.Cut(s, "?")
	version := cluster.VersionID("")
	if queried {
		id, ok := strings.CutPrefix(query, "versionId=")
		if version = cluster.VersionID(id); !ok {
			return invalid("Invalid copy source object key")
		}
		if !version.Valid() {
			return CopySource{}, invalidVersion(op, id)
		}
	}
	decoded, err := unescape(path, false)
	if err != nil {
		return invalid("Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
	}
	bucket, key, ok := strings.Cut(strings.TrimPrefix(decoded, "/"), "/")
	switch {
	case !ok || bucket == "" || key == "":
		return invalid("Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
	case len(key) > cluster.MaxKeyLength || !utf8.ValidString(key):
		return invalid("Invalid copy source object key")
	}
	return CopySource{cluster.BucketName(bucket), cluster.ObjectKey(key), version}, nil
}
