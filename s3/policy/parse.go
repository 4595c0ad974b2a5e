package policy

import "strings"

// Effect is what a statement does when it applies.
type Effect uint8

const (
	Deny Effect = iota
	Allow
)

// Policy is a document that was read. It is immutable.
type Policy struct {
	ID         string
	statements []statement
}

// statement is one statement, compiled.
type statement struct {
	sid        string
	effect     Effect
	principals *principals // nil in policies of identities
	actions    actionSet
	resources  []pattern
	notIn      bool // resources are those that it is not about
	conditions []condition
	ofObject   bool // a condition is about the tags that the object has
	variables  bool // ${...} are variables
}

// Options are how a document is read.
type Options struct {
	Kind   Kind
	Bucket string // of Kind Bucket: the name that resources must have
	New    bool   // of Kind Bucket: it is set now; each action must fit a resource, which earlier releases did not ask
}

// versions are those of the language.
const (
	version2008 = "2008-10-17" // without variables
	version2012 = "2012-10-17"
)

// Parse reads and checks a document. Every error is an *Error.
func Parse(data []byte, o Options) (*Policy, error) {
	if limit := o.Kind.limit(); len(data) > limit {
		return nil, malformed("Normalized policy document exceeds the maximum allowed size of %d bytes.", limit)
	}
	root, err := readJSON(data)
	if err != nil {
		return nil, err
	}
	p := &Policy{}
	r := reader{o: o, version: version2008}
	var statements *node
	for _, m := range root.members {
		switch m.name {
		case "Version":
			r.version = m.value.text
			if !m.value.quoted || r.version != version2008 && r.version != version2012 {
				return nil, malformed("The policy must contain a valid version string")
			}
		case "Id":
			if !m.value.quoted {
				return nil, malformed("Id must be a single string.")
			}
			p.ID = m.value.text
		case "Statement":
			statements = m.value
		default:
			return nil, malformed("Unknown field %s", m.name)
		}
	}
	if statements == nil {
		return nil, malformed("Missing required field Statement")
	}
	list := statements.items
	if statements.kind == '{' {
		list = []*node{statements}
	}
	if len(list) == 0 {
		return nil, malformed("Could not parse the policy: Statement is empty!")
	}
	sids := make(map[string]bool)
	for _, n := range list {
		s, err := r.statement(n)
		if err != nil {
			return nil, err
		}
		if s.sid != "" && sids[s.sid] {
			return nil, malformed("Statement IDs (SID) in a single policy must be unique.")
		}
		sids[s.sid] = true
		p.statements = append(p.statements, s)
	}
	return p, nil
}

func (k Kind) limit() int {
	if k == Bucket {
		return MaxBucketDocument
	}
	return 4 * MaxIdentityDocument // AWS counts identity policies without blanks; see Normalized
}

// Normalized returns the size of a document as quotas count it: without blanks outside of strings.
func Normalized(document string) int {
	n, quoted := 0, false
	for i := 0; i < len(document); i++ {
		c := document[i]
		if c == '"' && (i == 0 || document[i-1] != '\\') {
			quoted = !quoted
		}
		if quoted || !strings.ContainsRune(" \t\r\n", rune(c)) {
			n++
		}
	}
	return n
}

// reader reads the statements of one document.
type reader struct {
	o       Options
	version string
	named   []actionSet // of the statement that is read: what each of its patterns names
}

// raw is a statement as written.
type raw struct {
	principal, notPrincipal, action, notAction, resource, notResource, condition *node
}

func (r *reader) statement(n *node) (statement, error) {
	var s statement
	var w raw
	if n.kind != '{' {
		return s, malformed("Could not parse the policy: Statement is not an object")
	}
	effect := ""
	for _, m := range n.members {
		switch m.name {
		case "Sid":
			if !m.value.quoted {
				return s, malformed("Sid must be a single string.")
			}
			s.sid = m.value.text
		case "Effect":
			effect = m.value.text
			if effect != "Allow" && effect != "Deny" {
				return s, malformed("Invalid effect: %s", effect)
			}
		case "Principal":
			w.principal = m.value
		case "NotPrincipal":
			w.notPrincipal = m.value
		case "Action":
			w.action = m.value
		case "NotAction":
			w.notAction = m.value
		case "Resource":
			w.resource = m.value
		case "NotResource":
			w.notResource = m.value
		case "Condition":
			w.condition = m.value
		default:
			return s, malformed("Unknown field %s", m.name)
		}
	}
	s.variables = r.version == version2012
	if effect == "" {
		return s, malformed("Missing required field Effect")
	}
	if effect == "Allow" {
		s.effect = Allow
	}
	if s.sid != "" && r.o.Kind != Bucket && strings.Trim(s.sid, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return s, malformed("Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*")
	}
	return s, r.body(&s, &w)
}

// body reads the elements of a statement that say what it applies to.
func (r *reader) body(s *statement, w *raw) error {
	if err := r.principals(s, w); err != nil {
		return err
	}
	if err := r.actions(s, w); err != nil {
		return err
	}
	if err := r.resources(s, w); err != nil {
		return err
	}
	if w.condition != nil {
		if err := r.conditions(s, w.condition); err != nil {
			return err
		}
	}
	if r.o.Kind == Bucket {
		return s.applicable(r.fitting(s, w))
	}
	return nil
}

func (r *reader) actions(s *statement, w *raw) error {
	r.named = r.named[:0]
	list, err := oneOf(w.action, w.notAction, "Action")
	if err != nil {
		return err
	}
	for _, a := range list {
		service, name, ok := strings.Cut(a, ":")
		if a != "*" && (!ok || service == "" || name == "" || strings.ContainsAny(service, "*?")) {
			if r.o.Kind == Bucket {
				return malformed("Policy has invalid action")
			}
			return malformed("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")
		}
		set, any := actionsLike(a)
		if r.o.Kind == Bucket && a != "*" && (!any || !strings.EqualFold(service, "s3")) {
			return malformed("Policy has invalid action")
		}
		s.actions.union(set)
		r.named = append(r.named, set)
	}
	if w.notAction != nil {
		for i := range s.actions {
			s.actions[i] = ^s.actions[i]
		}
	}
	return nil
}

// oneOf returns the strings of an element or of its opposite; exactly one must be there.
func oneOf(element, opposite *node, name string) ([]string, error) {
	if element != nil && opposite != nil {
		return nil, malformed("Statement has both %s and Not%[1]s", name)
	}
	if element == nil {
		element = opposite
	}
	if element == nil {
		return nil, malformed("Missing required field %s", name)
	}
	list, ok := element.strings()
	if !ok || len(list) == 0 {
		return nil, malformed("Policy has invalid %s", strings.ToLower(name))
	}
	return list, nil
}

// fitting returns the sets of actions of which each must fit a resource of the statement.
func (r *reader) fitting(s *statement, w *raw) []actionSet {
	switch {
	case w.notAction != nil:
		return nil
	case r.o.New:
		return r.named
	default:
		return []actionSet{s.actions}
	}
}

// arnS3 begins every resource of S3.
const arnS3 = "arn:aws:s3:::"

func (r *reader) resources(s *statement, w *raw) error {
	if r.o.Kind == Trust {
		if w.resource != nil || w.notResource != nil {
			return malformed("Has prohibited field Resource")
		}
		return nil
	}
	list, err := oneOf(w.resource, w.notResource, "Resource")
	if err != nil {
		return err
	}
	s.notIn = w.notResource != nil
	for _, text := range list {
		p := newPattern(text, true, r.version == version2012)
		if r.o.Kind == Bucket {
			if !ofBucket(text, r.o.Bucket) {
				return malformed("Policy has invalid resource")
			}
		} else if text != "*" && strings.Count(text, ":") < 5 {
			return malformed("Resource %s must be in ARN format or \"*\".", text)
		}
		s.resources = append(s.resources, p)
	}
	return nil
}

// ofBucket reports whether the resource of a bucket policy is within the bucket. Wildcards may stand in the key only.
func ofBucket(text, bucket string) bool {
	rest, ok := strings.CutPrefix(text, arnS3)
	if !ok {
		return false
	}
	name, _, _ := strings.Cut(rest, "/")
	if name == bucket {
		return true
	}
	// A pattern such as bucket* or * is about this bucket's objects, too.
	return strings.ContainsAny(name, "*?") && func() bool { p := newGlob(name); return p.match(bucket, nil) }()
}

// applicable refuses a statement of a bucket policy that can never apply: none of its resources is of the kind of one of the
// actions (each is the set of those that a pattern names).
func (s *statement) applicable(actions []actionSet) error {
	if s.notIn {
		return nil
	}
	bucket, object := false, false
	for i := range s.resources {
		rest := strings.TrimPrefix(s.resources[i].source, arnS3)
		_, key, slash := strings.Cut(rest, "/")
		object = object || slash && key != "" || strings.HasSuffix(rest, "*")
		bucket = bucket || !slash
	}
next:
	for _, set := range actions {
		for a, i := range all {
			if set.has(a) && (i.on == OnBucket && bucket || i.on == OnObject && object) {
				continue next
			}
		}
		return malformed("Action does not apply to any resource(s) in statement")
	}
	return nil
}
