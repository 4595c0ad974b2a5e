package policy

import "strings"

// existingTag begins the condition keys that are tags which the object has: only its owner knows them.
const existingTag = "s3:existingobjecttag/"

// OfObject reports whether a condition key, in lower case, is about what only the owner of the object knows.
func OfObject(key string) bool { return strings.HasPrefix(key, existingTag) }

// Clause is what is left of a statement that applies to a request if the object has certain tags.
type Clause struct {
	Effect     Effect              `json:"effect"`
	Statement  string              `json:"statement"`           // its name
	Policy     string              `json:"policy,omitempty"`    // what the caller calls the policy
	Conditions []ClauseCondition   `json:"conditions"`          // all of which have to hold
	Version    string              `json:"version"`             // of the language
	Variables  map[string][]string `json:"variables,omitempty"` // what those in Conditions stand for
}

// ClauseCondition is a condition as it is written.
type ClauseCondition struct {
	Operator string   `json:"operator"`
	Key      string   `json:"key"`
	Values   []string `json:"values"`
}

// clause returns what is left of a statement.
func (s *statement) clause(name string, ctx Context) Clause {
	c := Clause{Effect: s.effect, Statement: name, Version: version2008}
	if s.variables {
		c.Version = version2012
	}
	for i := range s.conditions {
		of := &s.conditions[i]
		if of.values == nil {
			continue
		}
		c.Conditions = append(c.Conditions, ClauseCondition{of.operator, of.key, of.values})
		of.eachVariable(func(key string) {
			if values := ctx.Lookup(key); values != nil && !OfObject(key) {
				if c.Variables == nil {
					c.Variables = make(map[string][]string)
				}
				c.Variables[key] = values
			}
		})
	}
	return c
}

// eachVariable calls f with the key of every variable of a condition.
func (c *condition) eachVariable(f func(key string)) {
	all := [][]pattern{c.patterns}
	all = append(all, c.arns...)
	for _, patterns := range all {
		for i := range patterns {
			for _, p := range patterns[i].pieces {
				if p.kind == variable {
					f(p.text)
				}
			}
		}
	}
}

// Holds reports whether the statement applies to an object whose tags are given by tag; also where the clause cannot be read,
// when it denies.
func (c *Clause) Holds(tag func(key string) (string, bool)) bool {
	r := reader{version: c.Version}
	ctx := clauseContext{c, tag}
	for _, written := range c.Conditions {
		list := &node{kind: '['}
		for _, v := range written.Values {
			list.items = append(list.items, &node{text: v, quoted: true})
		}
		compiled, err := r.condition(written.Operator, member{written.Key, list})
		if err != nil {
			return c.Effect == Deny
		}
		if !compiled.holds(ctx) {
			return false
		}
	}
	return true
}

// clauseContext answers for tags, and for the variables that were kept.
type clauseContext struct {
	clause *Clause
	tag    func(key string) (string, bool)
}

// Lookup implements Context. Names of tags compare as names of condition keys do, without case.
func (x clauseContext) Lookup(key string) []string {
	name, ok := strings.CutPrefix(key, existingTag)
	if !ok {
		return x.clause.Variables[key]
	}
	if v, ok := x.tag(name); ok {
		return []string{v}
	}
	return nil
}
