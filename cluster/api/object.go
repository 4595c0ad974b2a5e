package api

import (
	"fmt"
	"strings"
)

// ObjectProps are the names that HEAD of an object knows for QueryProps, in the order of `aisle object show`.
var ObjectProps = []string{"name", "size", "checksum", "atime", "version", "copies", "custom", "location", "cached", "etag", "last-modified"}

// SplitRange writes the HTTP range of length bytes from offset; a length below zero means "to the end".
func SplitRange(offset, length int64) string {
	if length < 0 {
		return fmt.Sprintf("bytes=%d-", offset)
	}
	return fmt.Sprintf("bytes=%d-%d", offset, offset+length-1)
}

// Custom splits one value of HeaderCustom, name=value.
func Custom(value string) (name, v string, ok bool) { return strings.Cut(value, "=") }
