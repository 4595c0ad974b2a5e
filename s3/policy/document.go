package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// Kind says where a document stands, which decides what must and must not be in it.
type Kind uint8

const (
	Identity Kind = iota // of a user, group, role or session: no principal
	Bucket               // of a bucket: principals, and resources of that bucket
	Trust                // of a role: principals, and no resource
)

// The largest documents (AWS: "IAM and AWS STS quotas"; bucket policies: 20 KB).
const (
	MaxIdentityDocument = 6144
	MaxBucketDocument   = 20 << 10
	MaxSessionDocument  = 2048
)

// Error says what is wrong with a document, in the words that AWS has for it where they are known.
type Error struct{ Message string }

// Error returns the message.
func (e *Error) Error() string { return e.Message }

func malformed(format string, args ...any) error { return &Error{fmt.Sprintf(format, args...)} }

// maxDepth bounds the nesting of a document; a condition's values are at depth 6.
const maxDepth = 8

// node is a value of JSON whose members keep their order and cannot repeat.
type node struct {
	kind    json.Delim // '{', '[', or 0 for a scalar
	text    string     // of a scalar: the string, the number, true or false
	quoted  bool       // the scalar is a string
	from    int        // of a string: somewhere before its first quote, behind what was read before
	to      int        // behind its last one
	null    bool
	members []member
	items   []*node
}

type member struct {
	name  string
	value *node
}

// readJSON reads one JSON object.
func readJSON(data []byte) (*node, error) {
	if trimmed := bytes.TrimLeft(data, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return nil, malformed("Policies must be valid JSON and the first byte must be '{'")
	}
	if !json.Valid(data) {
		return nil, malformed("This policy contains invalid Json")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	root, err := readNode(d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, malformed("This policy contains invalid Json")
	}
	return root, nil
}

func readNode(d *json.Decoder, depth int) (*node, error) {
	from := d.InputOffset()
	token, err := d.Token()
	if err != nil || depth > maxDepth {
		return nil, malformed("This policy contains invalid Json")
	}
	switch t := token.(type) {
	case json.Delim:
		if t == '[' {
			return readItems(d, depth)
		}
		return readMembers(d, depth)
	case string:
		return &node{text: t, quoted: true, from: int(from), to: int(d.InputOffset())}, nil
	case json.Number:
		return &node{text: t.String()}, nil
	case bool:
		return &node{text: fmt.Sprint(t)}, nil
	default:
		return &node{null: true}, nil
	}
}

func readItems(d *json.Decoder, depth int) (*node, error) {
	n := &node{kind: '['}
	for d.More() {
		item, err := readNode(d, depth+1)
		if err != nil {
			return nil, err
		}
		n.items = append(n.items, item)
	}
	_, err := d.Token()
	return n, err
}

func readMembers(d *json.Decoder, depth int) (*node, error) {
	n := &node{kind: '{'}
	seen := make(map[string]bool)
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, malformed("This policy contains invalid Json")
		}
		m := member{name: name.(string)}
		if seen[m.name] {
			return nil, malformed("Duplicate key %q in the policy", m.name)
		}
		seen[m.name] = true
		if m.value, err = readNode(d, depth+1); err != nil {
			return nil, err
		}
		n.members = append(n.members, m)
	}
	_, err := d.Token()
	return n, err
}

// strings returns a string, or a list of strings, as a list.
func (n *node) strings() ([]string, bool) {
	if n.kind == 0 && n.quoted {
		return []string{n.text}, true
	}
	if n.kind != '[' {
		return nil, false
	}
	list := make([]string, 0, len(n.items))
	for _, item := range n.items {
		if item.kind != 0 || !item.quoted {
			return nil, false
		}
		list = append(list, item.text)
	}
	return list, true
}

// scalars is strings for values that may also be numbers and booleans.
func (n *node) scalars() ([]string, bool) {
	items := n.items
	if n.kind == 0 {
		items = []*node{n}
	}
	list := make([]string, 0, len(items))
	for _, item := range items {
		if item.kind != 0 || item.null {
			return nil, false
		}
		list = append(list, item.text)
	}
	return list, n.kind != '{'
}
