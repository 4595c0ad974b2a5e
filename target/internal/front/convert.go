package front

import (
	"strconv"

	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/s3"
	"github.com/aisle-store/aisle/target/internal/store"
)

func conditions(c s3.Conditions) store.Conditions {
	return store.Conditions{
		Match: store.ETags(c.Match), NoneMatch: store.ETags(c.NoneMatch),
		ModifiedSince: c.ModifiedSince, UnmodifiedSince: c.UnmodifiedSince,
		RangeETag: c.RangeETag, RangeModified: c.RangeModified,
	}
}

func byteRange(r *s3.Range) *store.Range {
	if r == nil {
		return nil
	}
	return &store.Range{First: r.First, Last: r.Last}
}

func pairs(fields []s3.Field) []store.Pair {
	var p []store.Pair
	for _, f := range fields {
		p = append(p, store.Pair{Name: f.Name, Value: f.Value})
	}
	return p
}

func toFields(p []store.Pair) []s3.Field {
	fields := make([]s3.Field, len(p))
	for i := range p {
		fields[i] = s3.Field{Name: p[i].Name, Value: p[i].Value}
	}
	return fields
}

// metadata returns what the headers of an S3 request say of the object to be written.
func (f *Front) metadata(r *request) (store.Metadata, error) {
	c := r.call
	user, err := s3.ReadUserMetadata(c)
	if err != nil {
		return store.Metadata{}, err
	}
	tags, err := s3.ReadTagging(c)
	if err != nil {
		return store.Metadata{}, err
	}
	lock, err := f.readLock(r)
	if err != nil {
		return store.Metadata{}, err
	}
	headers := pairs(s3.ReadContentHeaders(c))
	redirect, err := s3.ReadWebsiteRedirect(c)
	if err != nil {
		return store.Metadata{}, err
	}
	if redirect != "" {
		headers = append(headers, store.Pair{Name: s3.WebsiteRedirectHeader, Value: redirect})
	}
	return store.Metadata{Headers: headers, User: pairs(user), Tags: pairs(tags), Lock: lock, Class: s3.StorageClass(c)}, nil
}

// checksum is one of S3's additional checksums of an object or part.
type checksum struct {
	algorithm s3.Algorithm
	text      string // in S3's form, with "-N" when it is composite
}

// checksums returns the additional checksums among sums. parts is the number of parts of a composite one, else 0.
func checksums(sums store.Sums, parts int) []checksum {
	var all []checksum
	for _, sum := range sums {
		a, ok := s3.AlgorithmOf(sum.Type)
		if !ok || len(sum.Value) != a.Size() {
			continue
		}
		text := s3.EncodeChecksum(sum.Value)
		if parts > 0 {
			text += "-" + strconv.Itoa(parts)
		}
		all = append(all, checksum{a, text})
	}
	return all
}

// objectChecksums returns the additional checksums of an object, and S3's name of their kind ("" when there are none).
func objectChecksums(info *store.Info) ([]checksum, string) {
	parts := 0
	if info.Composite {
		parts = info.PartCount
	}
	all := checksums(info.Sums, parts)
	if all == nil {
		return nil, ""
	}
	return all, s3.ChecksumKind(info.Composite)
}

// elements returns checksums as XML elements.
func elements(sums []checksum) []s3.Field {
	fields := make([]s3.Field, len(sums))
	for i, c := range sums {
		fields[i] = s3.Field{Name: c.algorithm.Element(), Value: c.text}
	}
	return fields
}

// setChecksums puts checksums into a reply's headers.
func setChecksums(rep *httpd.Reply, sums []checksum, kind string) {
	for _, c := range sums {
		rep.SetHeader(c.algorithm.Header(), c.text)
	}
	if len(sums) > 0 && kind != "" {
		rep.SetHeader("x-amz-checksum-type", kind)
	}
}

// setObjectHeaders puts what is known of an object into the reply to a read.
func setObjectHeaders(r *request, info *store.Info) {
	rep := r.rep
	r.setVersion(info)
	r.setEncryption(info.Encryption)
	rep.SetHeader("ETag", s3.QuoteETag(info.ETag))
	rep.SetHeader("Last-Modified", s3.FormatHTTPDate(info.Modified))
	rep.SetHeader("Accept-Ranges", "bytes")
	rep.SetHeader("Content-Type", s3.DefaultContentType)
	for _, h := range info.Headers {
		rep.SetHeader(h.Name, h.Value)
	}
	for _, h := range s3.UserMetadataHeaders(toFields(info.User)) {
		rep.AddHeader(h.Name, h.Value)
	}
	if info.Class != "" {
		rep.SetHeader(s3.StorageClassHeader, info.Class)
	}
	if len(info.Tags) > 0 {
		rep.SetHeader("x-amz-tagging-count", strconv.Itoa(len(info.Tags)))
	}
	for _, h := range r.lockHeaders(info) {
		rep.SetHeader(h.Name, h.Value)
	}
	for _, h := range s3.ResponseOverrides(r.call) {
		rep.SetHeader(h.Name, h.Value)
	}
}
