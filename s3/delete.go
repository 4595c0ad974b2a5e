package s3

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aisle-store/aisle/cluster"
)

// MaxDeleteBody bounds the body of DeleteObjects: 1,000 keys of 1 KiB, escaped.
const MaxDeleteBody = 8 << 20

// MaxDeleteKeys is the largest number of keys in one DeleteObjects.
const MaxDeleteKeys = 1000

// DeleteItem is one object that DeleteObjects names.
type DeleteItem struct {
	Key          cluster.ObjectKey
	Version      cluster.VersionID // "" for a delete marker, where the bucket has versions
	IfMatch      string            // ETag without quotes; "" for none
	IfSize       *int64
	IfModifiedAt *time.Time
	Bypass       bool  // of a retention in governance mode: asked for, and allowed
	Err          error // why the item cannot be; the others can
}

// ParseDelete reads the body of DeleteObjects. What is wrong with the document refuses it whole, as on AWS: an empty key, no
// item, more than MaxDeleteKeys; a key that no object can have is the error of its item.
func ParseDelete(body []byte) (items []DeleteItem, quiet bool, err error) {
	const op = "s3.ParseDelete"
	root, err := parseXML(body, 8*MaxDeleteKeys)
	if err != nil {
		return nil, false, cluster.E(op, "", cluster.KindOther, err)
	}
	if root.name != "Delete" {
		return nil, false, malformedXML(op)
	}
	for i := range root.children {
		n := &root.children[i]
		switch n.name {
		case "Quiet":
			quiet = strings.EqualFold(strings.TrimSpace(n.text), "true")
		case "Object":
			item, err := deleteItem(n)
			if err != nil {
				return nil, false, err
			}
			items = append(items, item)
		default:
			return nil, false, malformedXML(op)
		}
	}
	if len(items) == 0 || len(items) > MaxDeleteKeys {
		return nil, false, malformedXML(op)
	}
	return items, quiet, nil
}

func deleteItem(n *node) (DeleteItem, error) {
	const op = "s3.deleteItem"
	var item DeleteItem
	for i := range n.children {
		child := &n.children[i]
		if len(child.children) > 0 || slices.ContainsFunc(n.children[:i], func(c node) bool { return c.name == child.name }) {
			return item, malformedXML(op) // which object is meant, or under which condition, is not to be guessed
		}
		switch child.name {
		case "Key":
			item.Key = cluster.ObjectKey(child.text)
		case "VersionId":
			item.Version = cluster.VersionID(strings.TrimSpace(child.text))
		case "ETag":
			if item.IfMatch = strings.Trim(strings.TrimSpace(child.text), `"`); item.IfMatch == "" {
				return item, malformedXML(op)
			}
		case "Size":
			size, ok := parseOffset(strings.TrimSpace(child.text))
			if !ok {
				return item, malformedXML(op)
			}
			item.IfSize = &size
		case "LastModifiedTime":
			t, ok := parseModified(strings.TrimSpace(child.text))
			if !ok {
				return item, malformedXML(op)
			}
			item.IfModifiedAt = &t
		default:
			return item, malformedXML(op)
		}
	}
	if item.Key == "" {
		return item, NewFault(op, MalformedXML, "")
	}
	switch {
	case !utf8.ValidString(string(item.Key)):
		return item, malformedXML(op)
	case len(item.Key) > cluster.MaxKeyLength:
		item.Err = NewFault(op, KeyTooLong, "")
	case item.Version != "" && !item.Version.Valid():
		item.Err = NewFault(op, NoSuchVersion, "")
	}
	return item, nil
}

// DeleteOutcome is the outcome of one item of DeleteObjects; Err is nil when the key is gone.
type DeleteOutcome struct {
	Key     cluster.ObjectKey
	Version cluster.VersionID // that was named
	Marker  cluster.VersionID // the delete marker that was made, or removed
	Err     error
}

// DeleteResultXML returns the reply to DeleteObjects; a quiet one names only failures.
func DeleteResultXML(outcomes []DeleteOutcome, quiet bool) []byte {
	w := newXML(256 + 160*len(outcomes))
	w.root("DeleteResult")
	for i := range outcomes {
		o := &outcomes[i]
		switch {
		case o.Err != nil:
			code := CodeOf(o.Err)
			w.open("Error")
			w.text("Key", string(o.Key))
			w.optional("VersionId", string(o.Version))
			w.text("Code", string(code))
			w.text("Message", messageOf(o.Err))
			w.close("Error")
		case !quiet:
			w.open("Deleted")
			w.text("Key", string(o.Key))
			w.optional("VersionId", string(o.Version))
			if o.Marker != "" {
				w.boolean("DeleteMarker", true)
				w.text("DeleteMarkerVersionId", string(o.Marker))
			}
			w.close("Deleted")
		}
	}
	w.close("DeleteResult")
	return w.bytes()
}
