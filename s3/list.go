package s3

import (
	"cmp"
	"encoding/base64"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aisle-store/aisle/cluster"
)

// MaxListKeys is the largest page of a list.
const MaxListKeys = 1000

// ListParams are the parameters of ListObjects and ListObjectsV2.
type ListParams struct {
	V2         bool
	Bucket     cluster.BucketName
	Prefix     string
	Delimiter  string
	MaxKeys    int    // as asked; a page has at most MaxListKeys
	After      string // entries behind it: the token's, else start-after (v2) or marker (v1)
	StartAfter string // v2, as sent, to be repeated in the reply
	Marker     string // v1, as sent
	Token      string // v2, as sent
	HasToken   bool
	FetchOwner bool
	URL        bool // encoding-type=url
}

// Limit returns the number of entries that a page may have.
func (p *ListParams) Limit() int { return min(p.MaxKeys, MaxListKeys) }

// ReadListParams reads the parameters of either form of list.
func ReadListParams(c *Call) (ListParams, error) {
	const op = "s3.ReadListParams"
	q := c.Params
	p := ListParams{
		V2: c.Op == ListObjectsV2, Bucket: c.Bucket, Prefix: q.Get("prefix"), Delimiter: q.Get("delimiter"),
		MaxKeys: MaxListKeys,
	}
	var err error
	if p.URL, err = encodingType(q); err != nil {
		return p, err
	}
	if p.MaxKeys, err = countParam(q, "max-keys", MaxListKeys); err != nil {
		return p, err
	}
	if t, ok := q.Lookup("list-type"); ok && t != "2" && t != "1" {
		return p, invalidArgument(op, "list-type", t, "Invalid List Type specified in Request")
	}
	if !p.V2 {
		p.Marker = q.Get("marker")
		p.After = p.Marker
		return p, validText(q, "prefix", "delimiter", "marker")
	}
	p.FetchOwner = q.Get("fetch-owner") == "true"
	p.StartAfter = q.Get("start-after")
	p.After = p.StartAfter
	if p.Token, p.HasToken = q.Lookup("continuation-token"); p.HasToken {
		after, err := DecodeToken(p.Token)
		if err != nil {
			return p, err
		}
		p.After = cmp.Or(after, p.StartAfter)
	}
	return p, validText(q, "prefix", "delimiter", "start-after")
}

// UploadListParams are the parameters of ListMultipartUploads.
type UploadListParams struct {
	Bucket         cluster.BucketName
	Prefix         string
	Delimiter      string
	KeyMarker      string
	UploadIDMarker cluster.UploadID
	MaxUploads     int
	URL            bool
}

// Limit returns the number of entries that a page may have.
func (p *UploadListParams) Limit() int { return min(p.MaxUploads, MaxListKeys) }

// ReadUploadListParams reads the parameters of ListMultipartUploads. An upload-id-marker without key-marker is ignored,
// as AWS does.
func ReadUploadListParams(c *Call) (UploadListParams, error) {
	q := c.Params
	p := UploadListParams{Bucket: c.Bucket, Prefix: q.Get("prefix"), Delimiter: q.Get("delimiter"), KeyMarker: q.Get("key-marker")}
	if p.KeyMarker != "" {
		p.UploadIDMarker = cluster.UploadID(q.Get("upload-id-marker"))
	}
	var err error
	if p.URL, err = encodingType(q); err != nil {
		return p, err
	}
	if p.MaxUploads, err = countParam(q, "max-uploads", MaxListKeys); err != nil {
		return p, err
	}
	return p, validText(q, "prefix", "delimiter", "key-marker")
}

// PartListParams are the parameters of ListParts.
type PartListParams struct {
	UploadID cluster.UploadID
	After    int
	MaxParts int
	URL      bool
}

// Limit returns the number of parts that a page may have.
func (p *PartListParams) Limit() int { return min(p.MaxParts, MaxListKeys) }

// ReadPartListParams reads the parameters of ListParts.
func ReadPartListParams(c *Call) (PartListParams, error) {
	q := c.Params
	p := PartListParams{UploadID: cluster.UploadID(q.Get("uploadId"))}
	var err error
	if p.URL, err = encodingType(q); err != nil {
		return p, err
	}
	if p.MaxParts, err = countParam(q, "max-parts", MaxListKeys); err != nil {
		return p, err
	}
	p.After, err = countParam(q, "part-number-marker", 0)
	return p, err
}

// BucketListParams are the parameters of ListBuckets.
type BucketListParams struct {
	Prefix     string
	After      string // the token's
	MaxBuckets int    // 0: all
	Region     string // of the buckets; "": any
}

// ReadBucketListParams reads the parameters of ListBuckets.
func ReadBucketListParams(c *Call) (BucketListParams, error) {
	const op = "s3.ReadBucketListParams"
	p := BucketListParams{Prefix: c.Params.Get("prefix"), Region: c.Params.Get("bucket-region")}
	if s, ok := c.Params.Lookup("max-buckets"); ok {
		n, good := parseCount(s, 10000)
		if !good || n == 0 {
			return p, invalidArgument(op, "max-buckets", s, "Argument max-buckets must be an integer between 1 and 10000")
		}
		p.MaxBuckets = n
	}
	if token, ok := c.Params.Lookup("continuation-token"); ok {
		after, err := DecodeToken(token)
		if err != nil {
			return p, err
		}
		p.After = after
	}
	return p, nil
}

// UploadParams returns the upload and the part that UploadPart names.
func UploadParams(c *Call) (id cluster.UploadID, part int, err error) {
	const op = "s3.UploadParams"
	id = cluster.UploadID(c.Params.Get("uploadId"))
	s, ok := c.Params.Lookup("partNumber")
	if !ok {
		return id, 0, invalidArgument(op, "partNumber", "", "This operation does not accept a query-string without partNumber.")
	}
	part, err = parsePartNumber(op, s)
	return id, part, err
}

func parsePartNumber(op, s string) (int, error) {
	n, ok := parseCount(s, 10000)
	if !ok || n == 0 {
		return 0, invalidArgument(op, "partNumber", s, "Part number must be an integer between 1 and 10000, inclusive")
	}
	return n, nil
}

// ReadPartNumber returns the part that GetObject or HeadObject asks for, or 0 for the whole object.
func ReadPartNumber(c *Call) (int, error) {
	const op = "s3.ReadPartNumber"
	s, ok := c.Params.Lookup("partNumber")
	if !ok {
		return 0, nil
	}
	if c.Header.Get("Range") != "" {
		return 0, NewFault(op, InvalidRequest, "Cannot specify both Range header and partNumber query parameter")
	}
	return parsePartNumber(op, s)
}

// encodingType reports whether keys of the reply are to be percent-encoded.
func encodingType(q Query) (bool, error) {
	const op = "s3.encodingType"
	s, ok := q.Lookup("encoding-type")
	if !ok || s == "" {
		return false, nil
	}
	if strings.EqualFold(s, "url") {
		return true, nil
	}
	return false, invalidArgument(op, "encoding-type", s, "Invalid Encoding Method specified in Request")
}

// countParam reads a number that may be absent or empty.
func countParam(q Query, name string, absent int) (int, error) {
	const op = "s3.countParam"
	s := q.Get(name)
	if s == "" {
		return absent, nil
	}
	n, ok := parseCount(s, 1<<31-1)
	if !ok {
		if strings.HasPrefix(s, "-") && strings.Trim(s[1:], "0123456789") == "" {
			return 0, invalidArgument(op, name, s, "Argument "+name+" must be an integer between 0 and 2147483647")
		}
		return 0, invalidArgument(op, name, s, "Provided "+name+" not an integer or within integer range")
	}
	return n, nil
}

// validText demands that parameters which are compared with keys are UTF-8.
func validText(q Query, names ...string) error {
	const op = "s3.validText"
	for _, name := range names {
		if v := q.Get(name); !utf8.ValidString(v) {
			return invalidArgument(op, name, "", "The parameter "+name+" is not valid UTF-8.")
		}
	}
	return nil
}

// tokenPrefix marks our continuation tokens, and their version.
const tokenPrefix = "1"

// EncodeToken returns the continuation token for the entries behind a key or common prefix.
func EncodeToken(after string) string {
	return tokenPrefix + base64.RawURLEncoding.EncodeToString([]byte(after))
}

// DecodeToken reads a continuation token. An empty one is none, as clients send it for the first page.
func DecodeToken(token string) (string, error) {
	const op = "s3.DecodeToken"
	if token == "" {
		return "", nil
	}
	encoded, ok := strings.CutPrefix(token, tokenPrefix)
	after, err := base64.RawURLEncoding.DecodeString(encoded)
	if !ok || err != nil || !utf8.Valid(after) || len(after) > cluster.MaxKeyLength || len(after) == 0 {
		return "", invalidArgument(op, "continuation-token", token, "The continuation token provided is incorrect")
	}
	return string(after), nil
}

// ListPage is one page of a list of objects.
type ListPage struct {
	Params    ListParams
	Entries   []cluster.Entry // objects and common prefixes, in order
	Truncated bool
	Owner     func(cluster.AccessKeyID) Owner // nil: the id is the name
}

// Owner is an identity as S3's XML shows it.
type Owner struct{ ID, DisplayName string }

// XML returns the reply to ListObjects or ListObjectsV2.
func (p *ListPage) XML() []byte {
	w := newXML(512 + 320*len(p.Entries))
	key := plainKey
	if p.Params.URL {
		key = EscapeKey
	}
	w.root("ListBucketResult")
	w.text("Name", string(p.Params.Bucket))
	w.text("Prefix", key(p.Params.Prefix))
	if p.Params.V2 {
		p.headV2(w, key)
	} else {
		p.headV1(w, key)
	}
	for i := range p.Entries {
		if !p.Entries[i].Prefix {
			p.contents(w, key, &p.Entries[i])
		}
	}
	writePrefixes(w, key, p.Entries)
	w.close("ListBucketResult")
	return w.bytes()
}

func plainKey(s string) string { return s }

// last returns where the next page begins: behind the last entry.
func (p *ListPage) last() string {
	if len(p.Entries) == 0 {
		return p.Params.After
	}
	return string(p.Entries[len(p.Entries)-1].Key)
}

func (p *ListPage) headV2(w *xmlWriter, key func(string) string) {
	if p.Params.StartAfter != "" {
		w.text("StartAfter", key(p.Params.StartAfter))
	}
	if p.Params.HasToken {
		w.text("ContinuationToken", p.Params.Token)
	}
	if p.Truncated {
		w.text("NextContinuationToken", EncodeToken(p.last()))
	}
	w.number("KeyCount", int64(len(p.Entries)))
	p.headCommon(w, key)
}

func (p *ListPage) headV1(w *xmlWriter, key func(string) string) {
	w.text("Marker", key(p.Params.Marker))
	if p.Truncated && p.Params.Delimiter != "" {
		w.text("NextMarker", key(p.last()))
	}
	p.headCommon(w, key)
}

func (p *ListPage) headCommon(w *xmlWriter, key func(string) string) {
	w.number("MaxKeys", int64(p.Params.Limit()))
	w.optional("Delimiter", key(p.Params.Delimiter))
	if p.Params.URL {
		w.text("EncodingType", "url")
	}
	w.boolean("IsTruncated", p.Truncated)
}

func (p *ListPage) contents(w *xmlWriter, key func(string) string, e *cluster.Entry) {
	w.open("Contents")
	w.text("Key", key(string(e.Key)))
	w.time("LastModified", e.Modified)
	w.etag("ETag", e.ETag)
	writeChecksums(w, e.Additional)
	w.number("Size", e.Size)
	if !p.Params.V2 || p.Params.FetchOwner {
		writeOwner(w, "Owner", ownerOf(p.Owner, e.Owner))
	}
	w.text("StorageClass", className(e.Class))
	w.close("Contents")
}

// checksumElements are the elements that say which additional checksums something has, by set: lists have them in every entry.
var checksumElements = func() (all [1 << 8]string) {
	for set := range all {
		var w xmlWriter
		for t := range cluster.ChecksumSet(set).Types() {
			a, _ := AlgorithmOf(t)
			w.text("ChecksumAlgorithm", a.String())
		}
		if len(w.b) > 0 {
			w.text("ChecksumType", ChecksumKind(cluster.ChecksumSet(set)&cluster.CompositeChecksums != 0))
		}
		all[set] = string(w.b)
	}
	return all
}()

// writeChecksums writes which additional checksums something has, or is to have.
func writeChecksums(w *xmlWriter, set cluster.ChecksumSet) {
	w.b = append(w.b, checksumElements[set]...)
}

// ChecksumKind is S3's name of the kind of a checksum: of the parts' checksums, or of the whole object.
func ChecksumKind(composite bool) string {
	if composite {
		return "COMPOSITE"
	}
	return "FULL_OBJECT"
}

// writePrefixes writes the common prefixes among the entries of a list.
func writePrefixes(w *xmlWriter, key func(string) string, entries []cluster.Entry) {
	for i := range entries {
		if entries[i].Prefix {
			w.open("CommonPrefixes")
			w.text("Prefix", key(string(entries[i].Key)))
			w.close("CommonPrefixes")
		}
	}
}

func ownerOf(f func(cluster.AccessKeyID) Owner, id cluster.AccessKeyID) Owner {
	if f == nil {
		return Owner{string(id), string(id)}
	}
	return f(id)
}

func writeOwner(w *xmlWriter, element string, o Owner) {
	w.open(element)
	w.text("ID", o.ID)
	w.optional("DisplayName", o.DisplayName)
	w.close(element)
}

// UploadPage is one page of a bucket's multipart uploads: entries with UploadID, Key, Modified (the start) and Owner.
type UploadPage struct {
	Params    UploadListParams
	Entries   []cluster.Entry
	Truncated bool
	Owner     func(cluster.AccessKeyID) Owner
}

// XML returns the reply to ListMultipartUploads.
func (p *UploadPage) XML() []byte {
	w := newXML(512 + 400*len(p.Entries))
	key := plainKey
	if p.Params.URL {
		key = EscapeKey
	}
	w.root("ListMultipartUploadsResult")
	w.text("Bucket", string(p.Params.Bucket))
	w.text("KeyMarker", key(p.Params.KeyMarker))
	w.text("UploadIdMarker", string(p.Params.UploadIDMarker))
	if n := len(p.Entries); p.Truncated && n > 0 {
		w.text("NextKeyMarker", key(string(p.Entries[n-1].Key)))
		w.text("NextUploadIdMarker", string(p.Entries[n-1].UploadID))
	}
	w.optional("Prefix", key(p.Params.Prefix))
	w.optional("Delimiter", key(p.Params.Delimiter))
	if p.Params.URL {
		w.text("EncodingType", "url")
	}
	w.number("MaxUploads", int64(p.Params.Limit()))
	w.boolean("IsTruncated", p.Truncated)
	for i := range p.Entries {
		if e := &p.Entries[i]; !e.Prefix {
			w.open("Upload")
			w.text("Key", key(string(e.Key)))
			w.text("UploadId", string(e.UploadID))
			owner := ownerOf(p.Owner, e.Owner)
			writeOwner(w, "Initiator", owner)
			writeOwner(w, "Owner", owner)
			w.text("StorageClass", className(e.Class))
			w.time("Initiated", e.Modified)
			writeChecksums(w, e.Additional)
			w.close("Upload")
		}
	}
	writePrefixes(w, key, p.Entries)
	w.close("ListMultipartUploadsResult")
	return w.bytes()
}

// BucketList is the reply to ListBuckets.
type BucketList struct {
	Owner   Owner
	Buckets []cluster.BucketEntry
	Region  string
	Prefix  string
	Next    string // the last bucket of a truncated page, or ""
}

// XML returns the reply.
func (l *BucketList) XML() []byte {
	w := newXML(512 + 160*len(l.Buckets))
	w.root("ListAllMyBucketsResult")
	writeOwner(w, "Owner", l.Owner)
	w.open("Buckets")
	for i := range l.Buckets {
		w.open("Bucket")
		w.text("Name", string(l.Buckets[i].Bucket.Name))
		w.time("CreationDate", l.Buckets[i].Created)
		w.optional("BucketRegion", l.Region)
		w.close("Bucket")
	}
	w.close("Buckets")
	w.optional("Prefix", l.Prefix)
	if l.Next != "" {
		w.text("ContinuationToken", EncodeToken(l.Next))
	}
	w.close("ListAllMyBucketsResult")
	return w.bytes()
}

// LocationXML returns the reply to GetBucketLocation; us-east-1 is the empty location.
func LocationXML(region string) []byte {
	w := newXML(160)
	if region == "us-east-1" {
		region = ""
	}
	w.root("LocationConstraint")
	w.b = appendEscaped(w.b, region)
	w.close("LocationConstraint")
	return w.bytes()
}

// CopyResultXML returns the reply to CopyObject or UploadPartCopy.
// kind is that of the checksums, "" for none.
func CopyResultXML(o Operation, etag string, modified time.Time, sums []Field, kind string) []byte {
	name := "CopyObjectResult"
	if o == UploadPartCopy {
		name = "CopyPartResult"
	}
	w := newXML(320)
	w.root(name)
	w.time("LastModified", modified)
	w.etag("ETag", etag)
	for _, f := range sums {
		w.text(f.Name, f.Value)
	}
	w.optional("ChecksumType", kind)
	w.close(name)
	return w.bytes()
}
