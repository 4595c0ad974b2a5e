package s3

import (
	"cmp"
	"strings"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// credential is an access key with the scope it signs for.
type credential struct {
	accessKey    cluster.AccessKeyID
	day          string // 20060102
	region       string
	service      string
	terminatedBy string
}

// scope returns the credential scope as it is signed.
func (c *credential) scope() string {
	return c.day + "/" + c.region + "/" + c.service + "/" + c.terminatedBy
}

// parseCredential splits KEY/DAY/REGION/SERVICE/aws4_request; the key itself may hold slashes.
func parseCredential(s string) (credential, bool) {
	parts := strings.Split(s, "/")
	n := len(parts)
	if n < 5 {
		return credential{}, false
	}
	c := credential{
		accessKey: cluster.AccessKeyID(strings.Join(parts[:n-4], "/")),
		day:       parts[n-4], region: parts[n-3], service: parts[n-2], terminatedBy: parts[n-1],
	}
	return c, c.accessKey != ""
}

// SignedFor returns the service in the credential scope of an Authorization header, which may be wrong in any other way.
func SignedFor(authorization string) string {
	_, rest, ok := strings.Cut(authorization, "Credential=")
	if !ok || !strings.HasPrefix(authorization, algorithm) {
		return ""
	}
	scope, _, _ := strings.Cut(rest, ",")
	c, ok := parseCredential(strings.TrimSpace(scope))
	if !ok {
		return ""
	}
	return c.service
}

// credentialFault is the error about a credential, in the words of the place where the client put it.
func credentialFault(op string, cl *claim, text string, fields ...Field) error {
	if cl.presigned {
		return NewFault(op, AuthorizationQueryParametersError, "Error parsing the X-Amz-Credential parameter; "+text, fields...)
	}
	return NewFault(op, AuthorizationHeaderMalformed, "The authorization header is malformed; "+text, fields...)
}

// check verifies the scope's parts against the time of the signature.
func (cl *claim) checkScope() error {
	const op = "s3.claim.checkScope"
	if want := cmp.Or(cl.wanted, service); cl.service != want {
		return credentialFault(op, cl, `incorrect service "`+cl.service+`". This endpoint belongs to "`+want+`".`)
	}
	if cl.terminatedBy != terminator {
		return credentialFault(op, cl, `incorrect terminal "`+cl.terminatedBy+`". This endpoint uses "aws4_request".`)
	}
	if cl.region == "" {
		return credentialFault(op, cl, "a non-empty region must be provided in the credential.")
	}
	day, err := time.Parse("20060102", cl.day)
	if err != nil || len(cl.day) != 8 {
		return credentialFault(op, cl, `incorrect date format "`+cl.day+`". This date in the credential must be in the format "yyyyMMdd".`)
	}
	if !day.Equal(cl.date.UTC().Truncate(24 * time.Hour)) {
		return credentialFault(op, cl, `Invalid credential date "`+cl.day+`". This date is not the same as X-Amz-Date: "`+cl.date.Format("20060102")+`".`)
	}
	return nil
}

// maxSignedHeaders bounds the list of signed headers; no request has as many.
const maxSignedHeaders = 256

// headerClaim reads the Authorization header.
func headerClaim(c *Call, authorization string) (*claim, error) {
	const op = "s3.headerClaim"
	scheme, rest, _ := strings.Cut(authorization, " ")
	switch {
	case scheme == algorithm:
	case scheme == "AWS":
		return nil, oldMechanism(op)
	case strings.HasPrefix(scheme, "AWS4-"):
		return nil, oldMechanism(op)
	default:
		return nil, invalidArgument(op, "Authorization", authorization, "Unsupported Authorization Type")
	}
	cl := &claim{wanted: c.Service}
	fields, err := authorizationFields(rest)
	if err != nil {
		return nil, err
	}
	if cl.credential, err = headerCredential(cl, fields.credential); err != nil {
		return nil, err
	}
	if cl.signed = strings.Split(strings.ToLower(fields.signedHeaders), ";"); len(cl.signed) > maxSignedHeaders {
		return nil, NewFault(op, AuthorizationHeaderMalformed, "The authorization header is malformed; too many SignedHeaders.")
	}
	cl.signature = fields.signature
	if cl.date, err = requestDate(c); err != nil {
		return nil, err
	}
	if err := cl.checkScope(); err != nil {
		return nil, err
	}
	cl.payload, err = headerPayload(c)
	return cl, err
}

func headerCredential(cl *claim, s string) (credential, error) {
	const op = "s3.headerCredential"
	cred, ok := parseCredential(s)
	if !ok {
		return cred, credentialFault(op, cl, `the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".`)
	}
	return cred, nil
}

// authorization is what an Authorization header consists of.
type authorization struct{ credential, signedHeaders, signature string }

// maxAuthorizationFields bounds the fields of the header, of which three count.
const maxAuthorizationFields = 16

// authorizationFields splits "Credential=…, SignedHeaders=…, Signature=…"; all three must be there, once.
func authorizationFields(s string) (authorization, error) {
	const op = "s3.authorizationFields"
	malformed := func(text string) error {
		return NewFault(op, AuthorizationHeaderMalformed, "The authorization header is malformed; "+text)
	}
	var space [4]Field
	fields := space[:0]
	for part := range strings.SplitSeq(s, ",") {
		part = strings.Trim(part, " \t")
		if part == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		if !ok {
			return authorization{}, malformed("a field is not of the form name=value.")
		}
		name = strings.TrimRight(name, " \t")
		if fieldIndex(fields, name) >= 0 {
			return authorization{}, malformed("the field " + name + " is given twice.")
		}
		if len(fields) == maxAuthorizationFields {
			return authorization{}, malformed("there are too many fields.")
		}
		fields = append(fields, Field{name, strings.TrimLeft(value, " \t")})
	}
	var a authorization
	for _, want := range []struct {
		name string
		into *string
	}{{"Credential", &a.credential}, {"SignedHeaders", &a.signedHeaders}, {"Signature", &a.signature}} {
		i := fieldIndex(fields, want.name)
		if i < 0 || fields[i].Value == "" {
			return authorization{}, malformed("missing " + want.name + ".")
		}
		*want.into = fields[i].Value
	}
	return a, nil
}

// requestDate returns the time of a request signed by header: x-amz-date, else Date.
func requestDate(c *Call) (time.Time, error) {
	const op = "s3.requestDate"
	if s := c.Header.Get("x-amz-date"); s != "" {
		if t, err := time.Parse(timeAmz, s); err == nil {
			return t, nil
		}
		if t, ok := parseHTTPDate(s); ok {
			return t, nil
		}
		return time.Time{}, NewFault(op, AccessDenied, "AWS authentication requires a valid Date or x-amz-date header")
	}
	s := c.Header.Get("Date")
	if t, err := time.Parse(timeAmz, s); err == nil {
		return t, nil
	}
	if t, ok := parseHTTPDate(s); ok {
		return t, nil
	}
	return time.Time{}, NewFault(op, AccessDenied, "AWS authentication requires a valid Date or x-amz-date header")
}

// headerPayload returns the payload line of a request signed by header. Without x-amz-content-sha256 the body must be
// empty: its hash is known then.
func headerPayload(c *Call) (string, error) {
	const op = "s3.headerPayload"
	if c.BodySHA != "" {
		return c.BodySHA, nil
	}
	mode := c.Header.Get("x-amz-content-sha256")
	if mode != "" {
		return mode, nil
	}
	if c.Length == 0 {
		return emptySHA, nil
	}
	return "", NewFault(op, InvalidRequest, "Missing required header for this request: x-amz-content-sha256")
}
