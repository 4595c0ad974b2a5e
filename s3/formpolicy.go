package s3

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// FormAuth is what the signature and the policy of a form establish.
type FormAuth struct {
	AccessKey cluster.AccessKeyID
	Token     string    // of the session that the key belongs to
	Version2  bool      // by Signature Version 2
	Time      time.Time // when it was signed; zero by Version 2, which does not tell
	min, max  int64     // of the file's length
}

// IsUnsigned reports whether nothing in a form claims to be signed: it is sent by nobody in particular.
func (f *Form) IsUnsigned() bool {
	for _, name := range []string{"policy", "x-amz-algorithm", "x-amz-credential", "x-amz-signature", "x-amz-security-token", "awsaccesskeyid", "signature"} {
		if fieldIndex(f.fields, name) >= 0 {
			return false
		}
	}
	return true
}

// UnsignedForm is what an unsigned form establishes: nothing, and a file may be as long as any.
func UnsignedForm() FormAuth { return FormAuth{max: maxFormFile} }

// VerifyForm checks the signature of a form's policy, and the form against the policy.
func (v *Verifier) VerifyForm(f *Form, bucket cluster.BucketName, now time.Time) (FormAuth, error) {
	const op = "s3.Verifier.VerifyForm"
	policy := f.Get("policy")
	if policy == "" {
		return FormAuth{}, NewFault(op, AccessDenied, "")
	}
	auth, err := v.verifyPolicy(f, policy)
	if err != nil {
		return FormAuth{}, cluster.E(op, string(auth.AccessKey), cluster.KindOther, err)
	}
	id := auth.AccessKey
	if err := v.checkToken(id, f.Get(tokenHeader), now); err != nil {
		return FormAuth{}, cluster.E(op, string(id), cluster.KindOther, err)
	}
	p, err := parseFormPolicy(policy)
	if err != nil {
		return FormAuth{}, cluster.E(op, "", cluster.KindOther, err)
	}
	if err := p.check(f, bucket, now); err != nil {
		return FormAuth{}, cluster.E(op, "", cluster.KindOther, err)
	}
	auth.Token, auth.min, auth.max = f.Get(tokenHeader), p.min, p.max
	return auth, nil
}

// verifyPolicy checks the signature, of Version 4 or 2, over the policy as it was sent.
func (v *Verifier) verifyPolicy(f *Form, policy string) (FormAuth, error) {
	const op = "s3.Verifier.verifyPolicy"
	if f.Get("x-amz-algorithm") == "" && f.Get("x-amz-signature") == "" {
		return v.verifyPolicyV2(f, policy)
	}
	for _, name := range []string{"x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"} {
		if f.Get(name) == "" {
			return FormAuth{}, missingField(op, name)
		}
	}
	if a := f.Get("x-amz-algorithm"); a != algorithm {
		return FormAuth{}, invalidArgument(op, "x-amz-algorithm", a, "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"")
	}
	cl := &claim{}
	var ok bool
	if cl.credential, ok = parseCredential(f.Get("x-amz-credential")); !ok {
		return FormAuth{}, invalidArgument(op, "x-amz-credential", f.Get("x-amz-credential"), "the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".")
	}
	var err error
	if cl.date, err = time.Parse(timeAmz, f.Get("x-amz-date")); err != nil {
		return FormAuth{}, invalidArgument(op, "x-amz-date", f.Get("x-amz-date"), "X-Amz-Date must be formated via ISO8601 Long format")
	}
	if err := cl.checkScope(); err != nil {
		return FormAuth{AccessKey: cl.accessKey}, err
	}
	secret, ok := v.o.Secret(cl.accessKey)
	if !ok {
		return FormAuth{AccessKey: cl.accessKey}, NewFault(op, InvalidAccessKeyID, "", Field{"AWSAccessKeyId", string(cl.accessKey)})
	}
	if !sameSignature(v.o.Keys.Get(cl.accessKey, secret, cl.scope()), policy, f.Get("x-amz-signature")) {
		return FormAuth{AccessKey: cl.accessKey}, wrongFormSignature(op, cl.accessKey, policy, f.Get("x-amz-signature"))
	}
	return FormAuth{AccessKey: cl.accessKey, Time: cl.date}, nil
}

func (v *Verifier) verifyPolicyV2(f *Form, policy string) (FormAuth, error) {
	const op = "s3.Verifier.verifyPolicyV2"
	id := cluster.AccessKeyID(f.Get("awsaccesskeyid"))
	switch {
	case id == "":
		return FormAuth{}, missingField(op, "AWSAccessKeyId")
	case f.Get("signature") == "":
		return FormAuth{AccessKey: id}, missingField(op, "Signature")
	}
	secret, ok := v.o.Secret(id)
	if !ok {
		return FormAuth{AccessKey: id}, NewFault(op, InvalidAccessKeyID, "", Field{"AWSAccessKeyId", string(id)})
	}
	if !sameSignatureV2(secret, policy, f.Get("signature")) {
		return FormAuth{AccessKey: id}, wrongFormSignature(op, id, policy, f.Get("signature"))
	}
	return FormAuth{AccessKey: id, Version2: true}, nil
}

func missingField(op, name string) error {
	return invalidArgument(op, name, "", "Bucket POST must contain a field named '"+name+"'.  If it is specified, please check the order of the fields.")
}

func wrongFormSignature(op string, id cluster.AccessKeyID, policy, signature string) error {
	return NewFault(op, SignatureDoesNotMatch, "", Field{"AWSAccessKeyId", string(id)}, Field{"StringToSign", policy}, Field{"SignatureProvided", signature})
}

// formPolicy is a policy document: until when a form may be sent, and what its fields must be.
type formPolicy struct {
	expires    time.Time
	conditions []formCondition
	min, max   int64 // of the file's length
}

// formCondition is what one field must be.
type formCondition struct {
	field  string // in lower case
	value  string
	prefix bool // the field's value begins with value
	text   string
}

func invalidPolicy(why string) error {
	return NewFault("s3.parseFormPolicy", InvalidPolicyDocument, "Invalid Policy: "+why)
}

// parseFormPolicy reads a policy in its base64 form. Names in the document are read as they are written.
func parseFormPolicy(encoded string) (*formPolicy, error) {
	text, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, invalidPolicy("the document is not in base64.")
	}
	var document map[string]json.RawMessage
	if json.Unmarshal(text, &document) != nil {
		return nil, invalidPolicy("Invalid JSON.")
	}
	p := &formPolicy{max: maxFormFile}
	var expiration string
	var conditions []json.RawMessage
	if json.Unmarshal(document["expiration"], &expiration) != nil {
		return nil, invalidPolicy("Policy missing expiration.")
	}
	if p.expires, err = time.Parse(time.RFC3339, expiration); err != nil {
		return nil, invalidPolicy("Invalid 'expiration' value: '" + expiration + "'")
	}
	if json.Unmarshal(document["conditions"], &conditions) != nil || conditions == nil {
		return nil, invalidPolicy("Policy missing conditions.")
	}
	for _, c := range conditions {
		if err := p.add(c); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// add takes one condition: {"field": "value"}, ["eq", "$field", "value"], ["starts-with", "$field", "value"] or
// ["content-length-range", min, max].
func (p *formPolicy) add(condition json.RawMessage) error {
	var fields map[string]string
	if json.Unmarshal(condition, &fields) == nil && fields != nil {
		if len(fields) != 1 {
			return invalidPolicy("Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.")
		}
		for name, value := range fields {
			p.conditions = append(p.conditions, formCondition{field: strings.ToLower(name), value: value, text: string(condition)})
		}
		return nil
	}
	var list []any
	if json.Unmarshal(condition, &list) != nil || len(list) != 3 {
		return invalidPolicy("Invalid Condition: wrong number of arguments: " + string(condition))
	}
	operator, _ := list[0].(string)
	operator = strings.ToLower(operator)
	if operator == "content-length-range" {
		low, ok1 := formNumber(list[1])
		high, ok2 := formNumber(list[2])
		if !ok1 || !ok2 || high < low {
			return invalidPolicy("Invalid content-length-range: " + string(condition))
		}
		p.min, p.max = max(p.min, low), min(p.max, high)
		return nil
	}
	name, ok1 := list[1].(string)
	value, ok2 := list[2].(string)
	field, dollar := strings.CutPrefix(name, "$")
	if operator != "eq" && operator != "starts-with" || !ok1 || !ok2 || !dollar {
		return invalidPolicy("Invalid Condition: " + string(condition))
	}
	p.conditions = append(p.conditions, formCondition{field: strings.ToLower(field), value: value, prefix: operator == "starts-with", text: string(condition)})
	return nil
}

// formNumber reads a length, which some clients write as a string.
func formNumber(v any) (int64, bool) {
	switch v := v.(type) {
	case float64:
		return int64(v), v >= 0 && v < 1<<53 && v == float64(int64(v))
	case string:
		n, err := strconv.ParseInt(v, 10, 64)
		return n, err == nil && n >= 0
	}
	return 0, false
}

// met reports whether a field has a value that the condition wants. A Content-Type that begins with something may be a list, of which
// each has to.
func (c *formCondition) met(value string) bool {
	switch {
	case !c.prefix:
		return value == c.value
	case c.field != "content-type":
		return strings.HasPrefix(value, c.value)
	}
	for item := range strings.SplitSeq(value, ",") {
		if !strings.HasPrefix(strings.TrimSpace(item), c.value) {
			return false
		}
	}
	return true
}

// unconditioned are the fields that no condition needs to name.
var unconditioned = []string{"awsaccesskeyid", "signature", "x-amz-signature", "policy", "file"}

// check holds the form against the policy: every condition is met, and no field is there that no condition names.
func (p *formPolicy) check(f *Form, bucket cluster.BucketName, now time.Time) error {
	const op = "s3.formPolicy.check"
	if !now.Before(p.expires) {
		return NewFault(op, AccessDenied, "Invalid according to Policy: Policy expired.")
	}
	named := make([]string, 0, len(p.conditions))
	for _, c := range p.conditions {
		value := f.Get(c.field)
		if c.field == "bucket" {
			value = string(bucket)
		}
		if !c.met(value) {
			return NewFault(op, AccessDenied, "Invalid according to Policy: Policy Condition failed: "+c.text)
		}
		named = append(named, c.field)
	}
	for _, field := range append([]Field{{"bucket", ""}}, f.fields...) {
		if !slices.Contains(named, field.Name) && !slices.Contains(unconditioned, field.Name) && !strings.HasPrefix(field.Name, "x-ignore-") {
			return NewFault(op, AccessDenied, "Invalid according to Policy: Extra input fields: "+field.Name)
		}
	}
	return nil
}

// Body returns the file of a form, which ends with an error when it is shorter or longer than the policy allows.
func (a FormAuth) Body(f *Form) io.Reader { return &rangedReader{r: f.File, min: a.min, max: a.max} }

// rangedReader ends with an error when there are too few or too many bytes.
type rangedReader struct {
	r        io.Reader
	min, max int64
	got      int64
	begun    bool
}

// Replayable reports whether nothing was read yet, so that the body can still be sent.
func (b *rangedReader) Replayable() bool { return !b.begun }

// Read implements io.Reader.
func (b *rangedReader) Read(p []byte) (int, error) {
	const op = "s3.rangedReader.Read"
	b.begun = true
	n, err := b.r.Read(p)
	b.got += int64(n)
	switch {
	case b.got > b.max:
		return 0, NewFault(op, EntityTooLarge, "", Field{"ProposedSize", strconv.FormatInt(b.got, 10)}, Field{"MaxSizeAllowed", strconv.FormatInt(b.max, 10)})
	case err == io.EOF && b.got < b.min:
		return 0, NewFault(op, EntityTooSmall, "", Field{"ProposedSize", strconv.FormatInt(b.got, 10)}, Field{"MinSizeAllowed", strconv.FormatInt(b.min, 10)})
	case err != nil && err != io.EOF:
		return n, formError(op, err)
	}
	return n, err
}
