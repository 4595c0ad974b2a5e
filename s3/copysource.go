package s3

import (
	"strings"
	"unicode/utf8"

	"github.com/aisle-store/aisle/cluster"
)

// CopySource is the object that x-amz-copy-source names.
type CopySource struct {
	Bucket cluster.BucketName
	Key    cluster.ObjectKey
}

// ParseCopySource reads x-amz-copy-source: bucket/key or /bucket/key, percent-encoded. A version is refused until
// versioning is built.
func ParseCopySource(s string) (CopySource, error) {
	const op = "s3.ParseCopySource"
	invalid := func(message string) (CopySource, error) {
		return CopySource{}, invalidArgument(op, "x-amz-copy-source", s, message)
	}
	if strings.HasPrefix(s, "arn:") {
		return CopySource{}, notImplemented(op, "Access points are not implemented.", Field{"Header", "x-amz-copy-source"})
	}
	path, query, _ := strings.Cut(s, "?")
	if query != "" {
		if strings.HasPrefix(query, "versionId=") {
			return CopySource{}, notImplemented(op, "Versions are not implemented.", Field{"Header", "x-amz-copy-source"})
		}
		return invalid("Invalid copy source object key")
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
	return CopySource{cluster.BucketName(bucket), cluster.ObjectKey(key)}, nil
}
