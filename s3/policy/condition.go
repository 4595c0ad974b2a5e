package policy

import (
	"encoding/base64"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// condition is one key of one operator.
type condition struct {
	operator string
	key      string // lower case
	test     test
	negated  bool
	ifExists bool
	quantity quantity
	null     bool // the operator is Null
	absent   bool // ... and demands that the key is missing

	patterns []pattern // of strings and ARNs
	arns     [][]pattern
	numbers  []float64
	prefixes []netip.Prefix
	fold     bool
	dates    bool     // numbers are seconds since 1970
	values   []string // as written, of keys that only the object's owner knows
}

// quantity says for how many of a key's values a condition must hold.
type quantity uint8

const (
	single quantity = iota
	forAll
	forAny
)

// test is what an operator compares.
type test uint8

const (
	testString test = iota
	testLike
	testARN
	testBool
	testBinary
	testIP
	testEqual // of numbers and dates
	testLess
	testLessEqual
	testGreater
	testGreaterEqual
)

// operator is one row of the table of operators.
type operator struct {
	name    string
	test    test
	negated bool
	dates   bool
	fold    bool
}

var operators = []operator{
	{name: "StringEquals", test: testString},
	{name: "StringNotEquals", test: testString, negated: true},
	{name: "StringEqualsIgnoreCase", test: testString, fold: true},
	{name: "StringNotEqualsIgnoreCase", test: testString, negated: true, fold: true},
	{name: "StringLike", test: testLike},
	{name: "StringNotLike", test: testLike, negated: true},
	{name: "NumericEquals", test: testEqual},
	{name: "NumericNotEquals", test: testEqual, negated: true},
	{name: "NumericLessThan", test: testLess},
	{name: "NumericLessThanEquals", test: testLessEqual},
	{name: "NumericGreaterThan", test: testGreater},
	{name: "NumericGreaterThanEquals", test: testGreaterEqual},
	{name: "DateEquals", test: testEqual, dates: true},
	{name: "DateNotEquals", test: testEqual, negated: true, dates: true},
	{name: "DateLessThan", test: testLess, dates: true},
	{name: "DateLessThanEquals", test: testLessEqual, dates: true},
	{name: "DateGreaterThan", test: testGreater, dates: true},
	{name: "DateGreaterThanEquals", test: testGreaterEqual, dates: true},
	{name: "Bool", test: testBool},
	{name: "BinaryEquals", test: testBinary},
	{name: "IpAddress", test: testIP},
	{name: "NotIpAddress", test: testIP, negated: true},
	{name: "ArnEquals", test: testARN},
	{name: "ArnLike", test: testARN},
	{name: "ArnNotEquals", test: testARN, negated: true},
	{name: "ArnNotLike", test: testARN, negated: true},
}

// keysOfS3 are the condition keys of S3; a name with a slash at its end is a family.
var keysOfS3 = []string{
	"s3:accesspointnetworkorigin", "s3:authtype", "s3:dataaccesspointaccount", "s3:dataaccesspointarn", "s3:delimiter",
	"s3:existingobjecttag/", "s3:if-match", "s3:if-none-match", "s3:inventoryaccessibleoptionalfields", "s3:jobsuspendedcause", "s3:locationconstraint", "s3:max-keys",
	"s3:object-lock-legal-hold", "s3:object-lock-mode", "s3:object-lock-remaining-retention-days", "s3:object-lock-retain-until-date",
	"s3:objectcreationoperation", "s3:prefix", "s3:requestobjecttag/", "s3:requestobjecttagkeys", "s3:resourceaccount", "s3:signatureage",
	"s3:signatureversion", "s3:tlsversion", "s3:versionid", "s3:x-amz-acl", "s3:x-amz-content-sha256", "s3:x-amz-copy-source",
	"s3:x-amz-grant-full-control", "s3:x-amz-grant-read", "s3:x-amz-grant-read-acp", "s3:x-amz-grant-write", "s3:x-amz-grant-write-acp",
	"s3:x-amz-metadata-directive", "s3:x-amz-object-ownership", "s3:x-amz-server-side-encryption",
	"s3:x-amz-server-side-encryption-aws-kms-key-id", "s3:x-amz-server-side-encryption-customer-algorithm", "s3:x-amz-storage-class",
	"s3:x-amz-website-redirect-location",
}

// listKeys are those that requests for lists have, and no others.
var listKeys = []string{"s3:prefix", "s3:delimiter", "s3:max-keys"}

func (r *reader) conditions(s *statement, n *node) error {
	if n.kind != '{' {
		return malformed("Invalid Condition")
	}
	for _, m := range n.members {
		if m.value.kind != '{' {
			return malformed("Invalid Condition type : %s", m.name)
		}
		for _, k := range m.value.members {
			c, err := r.condition(m.name, k)
			if err != nil {
				return err
			}
			s.conditions = append(s.conditions, c)
			s.ofObject = s.ofObject || c.values != nil
		}
	}
	if r.o.Kind == Bucket {
		return s.checkListKeys()
	}
	return nil
}

// checkListKeys refuses conditions on a list's parameters where no action is a list.
func (s *statement) checkListKeys() error {
	lists := s.actions.has(ListBucket) || s.actions.has(ListBucketVersions) || s.actions.has(ListBucketMultipartUploads)
	for i := range s.conditions {
		for _, key := range listKeys {
			if s.conditions[i].key == key && !lists {
				return malformed("Conditions do not apply to combination of actions and resources in statement")
			}
		}
	}
	return nil
}

func (r *reader) condition(name string, m member) (condition, error) {
	c := condition{operator: name, key: strings.ToLower(m.name)}
	base := name
	switch prefix, rest, ok := strings.Cut(name, ":"); {
	case ok && strings.EqualFold(prefix, "ForAllValues"):
		c.quantity, base = forAll, rest
	case ok && strings.EqualFold(prefix, "ForAnyValue"):
		c.quantity, base = forAny, rest
	}
	if err := r.checkKey(c.key); err != nil {
		return c, err
	}
	values, ok := m.value.scalars()
	if OfObject(c.key) {
		c.values = values
	}
	if !ok || len(values) == 0 && !strings.EqualFold(base, "Null") && m.value.kind != '[' {
		return c, malformed("Invalid value of condition %s", m.name)
	}
	if strings.EqualFold(base, "Null") {
		c.null = true
		return c, c.readNull(values)
	}
	if n := len(base) - len("IfExists"); n > 0 && strings.EqualFold(base[n:], "IfExists") {
		c.ifExists, base = true, base[:n]
	}
	for i := range operators {
		if strings.EqualFold(operators[i].name, base) {
			return c, c.readValues(&operators[i], values, r.version == version2012)
		}
	}
	return c, malformed("Invalid Condition type : %s", name)
}

// checkKey refuses keys that cannot be. Bucket policies can only have those of S3 and the global ones.
func (r *reader) checkKey(key string) error {
	vendor, name, ok := strings.Cut(key, ":")
	if !ok || vendor == "" || name == "" {
		return malformed("Policy has an invalid condition key")
	}
	if vendor != "s3" {
		return nil
	}
	for _, known := range keysOfS3 {
		if known == key || strings.HasSuffix(known, "/") && strings.HasPrefix(key, known) && len(key) > len(known) {
			return nil
		}
	}
	return malformed("Policy has an invalid condition key")
}

func (c *condition) readNull(values []string) error {
	if len(values) != 1 {
		return malformed("Invalid value of condition Null")
	}
	v, ok := readBool(values[0])
	if !ok {
		return malformed("Invalid value of condition Null: %s", values[0])
	}
	c.absent = v
	return nil
}

func readBool(s string) (value, ok bool) {
	switch {
	case strings.EqualFold(s, "true"):
		return true, true
	case strings.EqualFold(s, "false"):
		return false, true
	}
	return false, false
}

// readValues compiles the values of a condition for its operator.
func (c *condition) readValues(o *operator, values []string, variables bool) error {
	c.test, c.negated, c.fold, c.dates = o.test, o.negated, o.fold, o.dates
	for _, v := range values {
		bad := malformed("Invalid value %s of condition %s", v, c.operator)
		switch o.test {
		case testString, testLike:
			c.patterns = append(c.patterns, newPattern(v, o.test == testLike, variables))
		case testARN:
			c.arns = append(c.arns, arnPatterns(v, variables))
		case testBool:
			if _, ok := readBool(v); !ok {
				return bad
			}
			c.patterns = append(c.patterns, newPattern(strings.ToLower(v), false, false))
		case testBinary:
			if _, err := base64.StdEncoding.DecodeString(v); err != nil {
				return bad
			}
			c.patterns = append(c.patterns, newPattern(v, false, false))
		case testIP:
			prefix, ok := readPrefix(v)
			if !ok {
				return malformed("Invalid IP range %s in policy", v)
			}
			c.prefixes = append(c.prefixes, prefix)
		default:
			n, ok := readNumber(v, o.dates)
			if !ok {
				return bad
			}
			c.numbers = append(c.numbers, n)
		}
	}
	return nil
}

func readPrefix(s string) (netip.Prefix, bool) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked(), true
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a, a.BitLen()), true
}

// dateForms are the forms of W3C's ISO 8601 profile.
var dateForms = []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02", "2006-01", "2006"}

// readNumber reads a number, or a date as seconds since 1970, which may also be given as a number.
func readNumber(s string, date bool) (float64, bool) {
	if date {
		for i, form := range dateForms {
			if t, err := time.Parse(form, s); err == nil && (i < len(dateForms)-1 || len(s) == 4) {
				return float64(t.UnixNano()) / 1e9, true
			}
		}
	}
	n, err := strconv.ParseFloat(s, 64)
	return n, err == nil && !math.IsNaN(n) && !math.IsInf(n, 0)
}

// arnParts is how many parts an ARN has; the last may hold colons.
const arnParts = 6

func arnPatterns(s string, variables bool) []pattern {
	parts := strings.SplitN(s, ":", arnParts)
	ps := make([]pattern, len(parts))
	for i, part := range parts {
		ps[i] = newPattern(part, true, variables)
	}
	return ps
}

// holds reports whether the request meets the condition.
func (c *condition) holds(ctx Context) bool {
	values := ctx.Lookup(c.key)
	switch {
	case c.null:
		return c.absent == (len(values) == 0)
	case len(values) == 0:
		return c.ifExists || c.quantity == forAll || c.quantity == single && c.negated
	case c.quantity == forAll || c.quantity == single && c.negated:
		for _, v := range values {
			if !c.meets(v, ctx) {
				return false
			}
		}
		return true
	}
	for _, v := range values {
		if c.meets(v, ctx) {
			return true
		}
	}
	return false
}

// meets reports whether one value of the request meets the condition: equals one of the condition's values or, when it is
// negated, none.
func (c *condition) meets(v string, ctx Context) bool { return c.negated != c.equals(v, ctx) }

func (c *condition) equals(v string, ctx Context) bool {
	switch c.test {
	case testString:
		return c.equalsText(v, ctx)
	case testLike:
		for i := range c.patterns {
			if c.patterns[i].match(v, ctx) {
				return true
			}
		}
		return false
	case testARN:
		return c.equalsARN(v, ctx)
	case testBool:
		return c.equalsSource(strings.ToLower(v))
	case testBinary:
		return c.equalsSource(v)
	case testIP:
		return c.equalsIP(v)
	}
	return c.compares(v)
}

func (c *condition) equalsSource(v string) bool {
	for i := range c.patterns {
		if c.patterns[i].source == v {
			return true
		}
	}
	return false
}

func (c *condition) equalsText(v string, ctx Context) bool {
	for i := range c.patterns {
		text, ok := c.patterns[i].expand(ctx)
		if ok && (text == v || c.fold && strings.EqualFold(text, v)) {
			return true
		}
	}
	return false
}

func (c *condition) equalsARN(v string, ctx Context) bool {
	parts := strings.SplitN(v, ":", arnParts)
	for _, ps := range c.arns {
		fits := len(ps) == len(parts)
		for i := 0; fits && i < len(ps); i++ {
			fits = ps[i].match(parts[i], ctx)
		}
		if fits {
			return true
		}
	}
	return false
}

func (c *condition) equalsIP(v string) bool {
	addr, err := netip.ParseAddr(v)
	if err != nil {
		return false
	}
	addr = addr.Unmap().WithZone("")
	for _, p := range c.prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// compares is for numbers and dates. Of several values, one that fits is enough.
func (c *condition) compares(v string) bool {
	n, ok := readNumber(v, c.dates)
	if !ok {
		return false
	}
	for _, m := range c.numbers {
		fits := false
		switch c.test {
		case testEqual:
			fits = n == m
		case testLess:
			fits = n < m
		case testLessEqual:
			fits = n <= m
		case testGreater:
			fits = n > m
		case testGreaterEqual:
			fits = n >= m
		}
		if fits {
			return true
		}
	}
	return false
}
