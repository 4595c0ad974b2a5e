package s3

import (
	"strconv"
	"strings"
	"time"
)

// presignParams are the parameters that every presigned URL has.
var presignParams = []string{
	"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Expires",
}

// queryClaim reads the parameters of a presigned URL.
func queryClaim(c *Call) (*claim, error) {
	const op = "s3.queryClaim"
	fail := func(message string) (*claim, error) {
		return nil, NewFault(op, AuthorizationQueryParametersError, message)
	}
	for _, name := range presignParams {
		if c.Params.Get(name) == "" {
			return fail("Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, " +
				"X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.")
		}
		if count(c.Params, name) > 1 {
			return fail("The query parameter " + name + " is given twice.")
		}
	}
	if c.Params.Get("X-Amz-Algorithm") != algorithm {
		return fail(`X-Amz-Algorithm only supports "AWS4-HMAC-SHA256 and AWS4-ECDSA-P256-SHA256"`)
	}
	cl := &claim{presigned: true}
	var ok bool
	if cl.credential, ok = parseCredential(c.Params.Get("X-Amz-Credential")); !ok {
		return fail(`Error parsing the X-Amz-Credential parameter; the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".`)
	}
	var err error
	if cl.date, err = time.Parse(timeAmz, c.Params.Get("X-Amz-Date")); err != nil {
		return fail(`X-Amz-Date must be in the ISO8601 Long Format "yyyyMMdd'T'HHmmss'Z'"`)
	}
	if cl.expires, err = presignLife(c.Params.Get("X-Amz-Expires")); err != nil {
		return nil, err
	}
	if err := cl.checkScope(); err != nil {
		return nil, err
	}
	if cl.signed = strings.Split(strings.ToLower(c.Params.Get("X-Amz-SignedHeaders")), ";"); len(cl.signed) > maxSignedHeaders {
		return fail("The query parameter X-Amz-SignedHeaders names too many headers.")
	}
	cl.signature = c.Params.Get("X-Amz-Signature")
	cl.payload = presignedPayload(c, cl)
	return cl, nil
}

// presignLife reads X-Amz-Expires.
func presignLife(s string) (time.Duration, error) {
	const op = "s3.presignLife"
	n, err := strconv.ParseInt(s, 10, 64)
	switch {
	case err != nil:
		return 0, NewFault(op, AuthorizationQueryParametersError, "X-Amz-Expires should be a number")
	case n < 0:
		return 0, NewFault(op, AuthorizationQueryParametersError, "X-Amz-Expires must be non-negative")
	case n > int64(MaxPresign/time.Second):
		return 0, NewFault(op, AuthorizationQueryParametersError, "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds")
	}
	return time.Duration(n) * time.Second, nil
}

// presignedPayload returns the payload line of a presigned request: what the query or a signed header says, else
// UNSIGNED-PAYLOAD.
func presignedPayload(c *Call, cl *claim) string {
	if v := c.Params.Get("X-Amz-Content-Sha256"); v != "" {
		return v
	}
	for _, name := range cl.signed {
		if name == "x-amz-content-sha256" {
			return c.Header.Get(name)
		}
	}
	return modeUnsigned
}

func count(q Query, name string) int {
	n := 0
	for i := range q {
		if q[i].Name == name {
			n++
		}
	}
	return n
}
