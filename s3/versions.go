package s3

import (
	"strings"

	"github.com/aisle-store/aisle/cluster"
)

// ReadVersion returns the version that a request about an object names, or "".
func ReadVersion(c *Call) (cluster.VersionID, error) {
	const op = "s3.ReadVersion"
	s, ok := c.Params.Lookup("versionId")
	switch {
	case !ok:
		return "", nil
	case s == "":
		return "", invalidArgument(op, "versionId", "", "Version id cannot be the empty string")
	case !cluster.VersionID(s).Valid():
		return "", invalidVersion(op, s)
	}
	return cluster.VersionID(s), nil
}

func invalidVersion(op, id string) error {
	return invalidArgument(op, "versionId", id, "Invalid version id specified")
}

// ParseVersioning reads the body of PutBucketVersioning.
func ParseVersioning(body []byte) (cluster.Versioning, error) {
	const op = "s3.ParseVersioning"
	root, err := parseXML(body, 16)
	if err != nil {
		return "", cluster.E(op, "", cluster.KindOther, err)
	}
	if root.name != "VersioningConfiguration" {
		return "", malformedXML(op)
	}
	status := ""
	for i := range root.children {
		switch n := &root.children[i]; n.name {
		case "Status":
			status = strings.TrimSpace(n.text)
		case "MfaDelete":
			if strings.TrimSpace(n.text) != "Disabled" {
				return "", notImplemented(op, "MFA delete is not implemented.")
			}
		default:
			return "", malformedXML(op)
		}
	}
	switch status {
	case "Enabled":
		return cluster.VersioningEnabled, nil
	case "Suspended":
		return cluster.VersioningSuspended, nil
	case "":
		return "", NewFault(op, IllegalVersioningConfiguration, "")
	}
	return "", malformedXML(op)
}

// VersioningXML returns the reply to GetBucketVersioning: a bucket that never had versions has no status.
func VersioningXML(v cluster.Versioning) []byte {
	w := newXML(192)
	w.root("VersioningConfiguration")
	switch v {
	case cluster.VersioningEnabled:
		w.text("Status", "Enabled")
	case cluster.VersioningSuspended:
		w.text("Status", "Suspended")
	}
	w.close("VersioningConfiguration")
	return w.bytes()
}

// VersionListParams are the parameters of ListObjectVersions.
type VersionListParams struct {
	Bucket        cluster.BucketName
	Prefix        string
	Delimiter     string
	KeyMarker     string
	VersionMarker cluster.VersionID // of KeyMarker: the list goes on behind it; "" leaves out all of that key
	MaxKeys       int
	URL           bool
}

// Limit returns the number of entries that a page may have.
func (p *VersionListParams) Limit() int { return min(p.MaxKeys, MaxListKeys) }

// ReadVersionListParams reads the parameters of ListObjectVersions.
func ReadVersionListParams(c *Call) (VersionListParams, error) {
	const op = "s3.ReadVersionListParams"
	q := c.Params
	p := VersionListParams{Bucket: c.Bucket, Prefix: q.Get("prefix"), Delimiter: q.Get("delimiter"), KeyMarker: q.Get("key-marker")}
	var err error
	if p.URL, err = encodingType(q); err != nil {
		return p, err
	}
	if p.MaxKeys, err = countParam(q, "max-keys", MaxListKeys); err != nil {
		return p, err
	}
	if id, ok := q.Lookup("version-id-marker"); ok {
		p.VersionMarker = cluster.VersionID(id)
		switch {
		case id == "" && p.KeyMarker == "":
		case id == "":
			return p, invalidArgument(op, "version-id-marker", "", "A version-id marker cannot be empty.")
		case p.KeyMarker == "":
			return p, invalidArgument(op, "version-id-marker", id, "A version-id marker cannot be specified without a key marker.")
		case !p.VersionMarker.Valid():
			return p, invalidArgument(op, "version-id-marker", id, "Invalid version id specified")
		}
	}
	return p, validText(q, "prefix", "delimiter", "key-marker")
}

// VersionPage is one page of a bucket's versions and delete markers.
type VersionPage struct {
	Params    VersionListParams
	Entries   []cluster.Entry
	Truncated bool
	Owner     func(cluster.AccessKeyID) Owner
}

// XML returns the reply to ListObjectVersions.
func (p *VersionPage) XML() []byte {
	w := newXML(512 + 420*len(p.Entries))
	key := plainKey
	if p.Params.URL {
		key = EscapeKey
	}
	w.root("ListVersionsResult")
	w.text("Name", string(p.Params.Bucket))
	w.text("Prefix", key(p.Params.Prefix))
	w.text("KeyMarker", key(p.Params.KeyMarker))
	w.text("VersionIdMarker", string(p.Params.VersionMarker))
	if n := len(p.Entries); p.Truncated && n > 0 {
		w.text("NextKeyMarker", key(string(p.Entries[n-1].Key)))
		w.optional("NextVersionIdMarker", string(p.Entries[n-1].Position()))
	}
	w.number("MaxKeys", int64(p.Params.Limit()))
	w.optional("Delimiter", key(p.Params.Delimiter))
	if p.Params.URL {
		w.text("EncodingType", "url")
	}
	w.boolean("IsTruncated", p.Truncated)
	for i := range p.Entries {
		if !p.Entries[i].Prefix {
			p.version(w, key, &p.Entries[i])
		}
	}
	writePrefixes(w, key, p.Entries)
	w.close("ListVersionsResult")
	return w.bytes()
}

func (p *VersionPage) version(w *xmlWriter, key func(string) string, e *cluster.Entry) {
	element := "Version"
	if e.Marker {
		element = "DeleteMarker"
	}
	w.open(element)
	w.text("Key", key(string(e.Key)))
	w.text("VersionId", string(e.VersionID))
	w.boolean("IsLatest", e.Latest)
	w.time("LastModified", e.Modified)
	if !e.Marker {
		w.etag("ETag", e.ETag)
		writeChecksums(w, e.Additional)
		w.number("Size", e.Size)
		w.text("StorageClass", className(e.Class))
	}
	writeOwner(w, "Owner", ownerOf(p.Owner, e.Owner))
	w.close(element)
}
