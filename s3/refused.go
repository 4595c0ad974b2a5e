package s3

import (
	"slices"
	"strings"
)

// refusedHeaders are request headers that ask for something Aisle has not built. A request that carries one is refused
// with 501, unless the value is in the list, which asks for nothing beyond what is done anyway.
var refusedHeaders = []struct {
	name    string
	allowed []string
}{
	{"x-amz-mfa", nil},
	{"x-amz-object-annotation-directive", nil},
	{"x-amz-object-if-match", nil},
	{"x-amz-write-offset-bytes", nil},
	{"x-amz-bucket-namespace", []string{"global"}},
	{"x-amz-if-match-initiated-time", nil},
}

// refusedPrefixes are families of headers that Aisle has not built, but for those of encryption that isEncryptionHeader knows.
var refusedPrefixes = []string{
	"x-amz-copy-source-server-side-encryption",
	"x-amz-rename-",
	"x-amz-server-side-encryption",
}

// storageClasses are the classes of AWS. All is stored in one way here; those from which an object can be read at once are labels.
var storageClasses = []string{
	"REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER", "DEEP_ARCHIVE", "OUTPOSTS",
	"GLACIER_IR", "SNOW", "EXPRESS_ONEZONE", "FSX_OPENZFS", "FSX_ONTAP",
}

// labelClasses are the classes that an object is given when it asks for one.
var labelClasses = []string{StandardClass, "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR"}

// The storage class of objects that name none, and the header by which they do.
const (
	StandardClass      = "STANDARD"
	StorageClassHeader = "x-amz-storage-class"
)

// StorageClass returns the class that a request asks for, "" for STANDARD.
func StorageClass(c *Call) string {
	if class := c.Get(StorageClassHeader); class != StandardClass {
		return class
	}
	return ""
}

// className returns how a storage class is told.
func className(class string) string {
	if class == "" {
		return StandardClass
	}
	return class
}

// checkHeaders refuses what the headers of a request ask for beyond what is built.
func checkHeaders(c *Call) error {
	const op = "s3.checkHeaders"
	for name, value := range c.amzHeaders() {
		if err := checkACLHeader(name, value); err != nil {
			return err
		}
		if name == "x-amz-expected-bucket-owner" {
			c.ExpectedOwner = value
			continue
		}
		if isEncryptionHeader(name) {
			c.encryption = true
			continue
		}
		if refusedHeader(name, value) {
			return notImplemented(op, "A header you provided implies functionality that is not implemented",
				Field{"Header", name})
		}
	}
	class := c.Get(StorageClassHeader)
	switch {
	case class == "" || slices.Contains(labelClasses, class):
		return nil
	case slices.Contains(storageClasses, class):
		return notImplemented(op, "The storage class "+class+" is not implemented.", Field{"Header", StorageClassHeader})
	}
	return NewFault(op, InvalidStorageClass, "", Field{"StorageClassRequested", class})
}

// amzHeaders yields every x-amz-* header, those hoisted into the query included, by lower-case name.
func (c *Call) amzHeaders() func(yield func(name, value string) bool) {
	return func(yield func(name, value string) bool) {
		for _, f := range c.amzOfHeader() {
			if !yield(f.Name, f.Value) {
				return
			}
		}
		for _, p := range c.Params {
			if len(p.Name) > 6 && strings.EqualFold(p.Name[:6], "x-amz-") && !yield(strings.ToLower(p.Name), p.Value) {
				return
			}
		}
	}
}

// The x-amz-* headers of every signed request.
const (
	amzDate    = "x-amz-date"
	amzContent = "x-amz-content-sha256"
)

// lowerAmz returns the lower-case name of a header, for the usual ones without making a string.
func lowerAmz(name string) string {
	switch {
	case len(name) == len(amzDate) && strings.EqualFold(name, amzDate):
		return amzDate
	case len(name) == len(amzContent) && strings.EqualFold(name, amzContent):
		return amzContent
	}
	return strings.ToLower(name)
}

// refusedHeader reports whether a header asks for what is not built. A checksum of an algorithm that is not known here
// could not be verified, so it is refused too.
func refusedHeader(name, value string) bool {
	if name == amzDate || name == amzContent {
		return false // every signed request has them
	}
	if sum, ok := strings.CutPrefix(name, "x-amz-checksum-"); ok && !knownChecksumHeader(sum) {
		return true
	}
	for _, prefix := range refusedPrefixes {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	for _, h := range refusedHeaders {
		if h.name != name {
			continue
		}
		if value == "" {
			return false
		}
		for _, allowed := range h.allowed {
			if value == allowed {
				return false
			}
		}
		return true
	}
	return false
}

func knownChecksumHeader(name string) bool {
	if name == "algorithm" || name == "mode" || name == "type" {
		return true
	}
	_, ok := ParseAlgorithm(name)
	return ok
}
