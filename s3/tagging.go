package s3

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/aisle-store/aisle/cluster"
)

// How many tags an object or a bucket can have, and how many characters a tag.
const (
	MaxObjectTags = 10
	MaxBucketTags = 50
	maxTagKey     = 128
	maxTagValue   = 256
)

// TaggingHeader carries the tags of an object that is written.
const TaggingHeader = "x-amz-tagging"

// ReadTagging returns the tags that x-amz-tagging gives an object: names and values like those of a query.
func ReadTagging(c *Call) ([]Field, error) {
	const op = "s3.ReadTagging"
	text := c.Get(TaggingHeader)
	query, err := ParseQuery(text)
	if err != nil {
		return nil, malformedTagging(op, text)
	}
	var tags []Field
	for _, p := range query {
		if fieldIndex(tags, p.Name) >= 0 || !utf8.ValidString(p.Name) || !utf8.ValidString(p.Value) {
			return nil, malformedTagging(op, text)
		}
		tags = append(tags, Field(p))
	}
	return tags, checkTags(op, tags, MaxObjectTags, "Object")
}

func malformedTagging(op, text string) error {
	return invalidArgument(op, TaggingHeader, text,
		"The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.")
}

// ParseObjectTagging reads the body of PutObjectTagging.
func ParseObjectTagging(body []byte) ([]Field, error) {
	return parseTagging(body, MaxObjectTags, "Object")
}

// parseTagging reads a document Tagging; of is whose tags they are, in the words of the errors.
func parseTagging(body []byte, limit int, of string) ([]Field, error) {
	const op = "s3.parseTagging"
	root, err := parseXML(body, 16*MaxBucketTags)
	if err != nil {
		return nil, cluster.E(op, "", cluster.KindOther, err)
	}
	if root.name != "Tagging" || len(root.children) != 1 || root.children[0].name != "TagSet" {
		return nil, malformedXML(op)
	}
	tags, err := parseTagSet(&root.children[0])
	if err != nil {
		return nil, err
	}
	return tags, checkTags(op, tags, limit, of)
}

// parseTagSet reads the tags among the children of an element, which has nothing else.
func parseTagSet(set *node) ([]Field, error) {
	var tags []Field
	for i := range set.children {
		if set.children[i].name != "Tag" {
			return nil, malformedXML("s3.parseTagSet")
		}
		tag, err := parseTag(&set.children[i])
		if err != nil {
			return nil, err
		}
		tags = append(tags, tag)
	}
	return tags, nil
}

func parseTag(n *node) (Field, error) {
	key, value, ok := n.only("Key"), n.only("Value"), len(n.children) == 2
	if !ok || key == nil || value == nil || len(key.children)+len(value.children) > 0 {
		return Field{}, malformedXML("s3.parseTag")
	}
	return Field{key.text, value.text}, nil
}

// only returns the one child of that name, or nil when there is none or more than one.
func (n *node) only(name string) *node {
	var found *node
	for i := range n.children {
		if n.children[i].name != name {
			continue
		}
		if found != nil {
			return nil
		}
		found = &n.children[i]
	}
	return found
}

// checkTags applies AWS's rules for tags.
func checkTags(op string, tags []Field, limit int, of string) error {
	if len(tags) > limit {
		return NewFault(op, InvalidTag, of+" tags cannot be greater than "+itoa(limit))
	}
	for i, tag := range tags {
		switch {
		case tag.Name == "" || !IsTagText(tag.Name, maxTagKey):
			return NewFault(op, InvalidTag, "The TagKey you have provided is invalid", Field{"TagKey", tag.Name})
		case !IsTagText(tag.Value, maxTagValue):
			return NewFault(op, InvalidTag, "The TagValue you have provided is invalid", Field{"TagKey", tag.Name}, Field{"TagValue", tag.Value})
		case strings.HasPrefix(strings.ToLower(tag.Name), "aws:"):
			return NewFault(op, InvalidTag, "System tags cannot be added/updated by requester", Field{"TagKey", tag.Name})
		case fieldIndex(tags[:i], tag.Name) >= 0:
			return NewFault(op, InvalidTag, "Cannot provide multiple Tags with the same key", Field{"TagKey", tag.Name})
		}
	}
	return nil
}

// IsTagText reports whether a key or value has only characters that tags can have, and not too many.
func IsTagText(s string, limit int) bool {
	if utf8.RuneCountInString(s) > limit {
		return false
	}
	for _, r := range s {
		if !unicode.In(r, unicode.L, unicode.N, unicode.Z) && !strings.ContainsRune("_.:/=+-@", r) {
			return false
		}
	}
	return true
}

// TaggingXML returns the reply to GetObjectTagging and GetBucketTagging.
func TaggingXML(tags []Field) []byte {
	w := newXML(160 + 64*len(tags))
	w.root("Tagging")
	w.open("TagSet")
	writeTags(w, tags)
	w.close("TagSet")
	w.close("Tagging")
	return w.bytes()
}

func writeTags(w *xmlWriter, tags []Field) {
	for _, tag := range tags {
		w.open("Tag")
		w.text("Key", tag.Name)
		w.text("Value", tag.Value)
		w.close("Tag")
	}
}

// TaggingDirective reads x-amz-tagging-directive.
func TaggingDirective(c *Call) (Directive, error) {
	return readDirective(c, "x-amz-tagging-directive", "Unknown tagging directive.")
}
