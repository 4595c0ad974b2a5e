package s3

import (
	"slices"
	"strings"
)

// The names of what GetObjectAttributes can tell.
const (
	attributeETag     = "ETag"
	attributeChecksum = "Checksum"
	attributeParts    = "ObjectParts"
	attributeClass    = "StorageClass"
	attributeSize     = "ObjectSize"
)

var attributeNames = []string{attributeETag, attributeChecksum, attributeParts, attributeClass, attributeSize}

// attributesHeader names what is asked for.
const attributesHeader = "x-amz-object-attributes"

// AttributeParams are the parameters of GetObjectAttributes, which are headers.
type AttributeParams struct {
	names    []string
	After    int // the number of the last part of the page before
	MaxParts int
}

// ReadAttributeParams reads the parameters of GetObjectAttributes. As on AWS, a page size or marker that is no number counts
// as none.
func ReadAttributeParams(c *Call) (AttributeParams, error) {
	const op = "s3.ReadAttributeParams"
	p := AttributeParams{MaxParts: MaxListKeys}
	// Several headers and one with commas mean the same; some clients send the one, some the other.
	var values []string
	for name, value := range c.amzHeaders() {
		if name == attributesHeader {
			values = append(values, value)
		}
	}
	for name := range strings.SplitSeq(strings.Join(values, ","), ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		if !slices.Contains(attributeNames, name) {
			return p, invalidArgument(op, attributesHeader, name, "Invalid attribute name specified.")
		}
		p.names = append(p.names, name)
	}
	if p.names == nil {
		return p, invalidArgument(op, attributesHeader, "", "The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty")
	}
	if n, ok := parseCount(c.Get("x-amz-max-parts"), 10000); ok {
		p.MaxParts = min(n, MaxListKeys)
	}
	if n, ok := parseCount(c.Get("x-amz-part-number-marker"), 10000); ok {
		p.After = n
	}
	return p, nil
}

// Attributes is what GetObjectAttributes can tell of an object.
type Attributes struct {
	ETag         string
	Size         int64
	Class        string  // "" for STANDARD
	Sums         []Field // XML elements, as {"ChecksumCRC32", base64}
	ChecksumType string
	Parts        []ListedPart // of an object that an upload made, numbered from 1
}

// XML returns the reply: what was asked for. Parts are named one by one only when they have checksums, as on AWS.
func (a *Attributes) XML(p AttributeParams) []byte {
	w := newXML(512)
	w.root("GetObjectAttributesResponse")
	for _, name := range attributeNames {
		if !slices.Contains(p.names, name) {
			continue
		}
		switch name {
		case attributeETag:
			w.text("ETag", a.ETag)
		case attributeChecksum:
			a.writeChecksum(w)
		case attributeParts:
			a.writeParts(w, p)
		case attributeClass:
			w.text("StorageClass", className(a.Class))
		case attributeSize:
			w.number("ObjectSize", a.Size)
		}
	}
	w.close("GetObjectAttributesResponse")
	return w.bytes()
}

func (a *Attributes) writeChecksum(w *xmlWriter) {
	if len(a.Sums) == 0 {
		return
	}
	w.open("Checksum")
	for _, f := range a.Sums {
		value, _, _ := strings.Cut(f.Value, "-") // without the number of parts, which ObjectParts tells
		w.text(f.Name, value)
	}
	w.optional("ChecksumType", a.ChecksumType)
	w.close("Checksum")
}

func (a *Attributes) writeParts(w *xmlWriter, p AttributeParams) {
	if len(a.Parts) == 0 {
		return
	}
	w.open("ObjectParts")
	page := a.Parts[min(p.After, len(a.Parts)):]
	truncated := len(page) > p.MaxParts
	page = page[:min(p.MaxParts, len(page))]
	next := p.After
	if len(page) > 0 {
		next = page[len(page)-1].Number
	}
	if len(a.Sums) > 0 {
		w.boolean("IsTruncated", truncated)
		w.number("MaxParts", int64(p.MaxParts))
		w.number("NextPartNumberMarker", int64(next))
		w.number("PartNumberMarker", int64(p.After))
		for i := range page {
			w.open("Part")
			for _, f := range page[i].Sums {
				w.text(f.Name, f.Value)
			}
			w.number("PartNumber", int64(page[i].Number))
			w.number("Size", page[i].Size)
			w.close("Part")
		}
	}
	w.number("PartsCount", int64(len(a.Parts)))
	w.close("ObjectParts")
}
