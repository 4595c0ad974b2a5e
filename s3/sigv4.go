package s3

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// MaxSkew is how far a request's time may be from ours.
const MaxSkew = 15 * time.Minute

// MaxPresign is the longest life of a presigned URL.
const MaxPresign = 7 * 24 * time.Hour

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"
	service    = "s3"
	timeAmz    = "20060102T150405Z"
	emptySHA   = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// Auth is what a valid signature establishes.
type Auth struct {
	AccessKey cluster.AccessKeyID
	Presigned bool
	Version2  bool      // by Signature Version 2
	Time      time.Time // when it was signed; zero by Version 2, which does not tell
	Token     string    // of the session that AccessKey belongs to, which holds now; "" for any other key
	Payload   Payload
}

// Payload is how a request's body is protected: all that is needed, beside the secret key, to verify it elsewhere.
type Payload struct {
	Mode   string // the value of x-amz-content-sha256
	SHA256 string // the hash that the whole body must have, hexadecimal; "" when the mode declares none
	Length int64  // of the decoded body; -1 when unknown
	Seed   string // the request's signature, hexadecimal: the first link of signed chunks
	Scope  string // the credential scope: date/region/service/aws4_request
	Date   string // the time of the signature, as 20060102T150405Z
}

// VerifierOptions are what a Verifier is built from.
type VerifierOptions struct {
	// Secret returns the secret of an access key, and whether there is such a key.
	Secret func(cluster.AccessKeyID) (string, bool)
	// Session looks whether a token is that of the session with a temporary key, and holds now; nil when there are no sessions.
	Session func(id cluster.AccessKeyID, token string, now time.Time) error
	// Region, when set, is the only one accepted in credential scopes; empty accepts every region.
	Region string
	// Keys caches derived signing keys; nil makes a cache.
	Keys *SigningKeys
}

// Verifier checks Signature Version 4, in the Authorization header and in presigned URLs.
type Verifier struct{ o VerifierOptions }

// NewVerifier returns a verifier.
func NewVerifier(o VerifierOptions) *Verifier {
	if o.Keys == nil {
		o.Keys = NewSigningKeys()
	}
	return &Verifier{o: o}
}

// Keys returns the verifier's cache, for whoever opens bodies in the same process.
func (v *Verifier) Keys() *SigningKeys { return v.o.Keys }

// claim is a signature as the request states it, not yet verified.
type claim struct {
	credential
	presigned bool
	date      time.Time
	signed    []string // names of the signed headers, lower case, as listed
	signature string
	expires   time.Duration // presigned
	payload   string        // the canonical request's last line
	wanted    string        // the service that it must be for; "" is S3
}

// Verify checks the request's signature against its time and key. A request without any is AccessDenied.
func (v *Verifier) Verify(c *Call, now time.Time) (Auth, error) {
	const op = "s3.Verifier.Verify"
	if err := checkRepeated(c); err != nil {
		return Auth{}, cluster.E(op, "", cluster.KindOther, err)
	}
	if isPresignedV2(c.Params) && c.Header.Get("Authorization") == "" {
		a, err := v.verifyV2(c, now)
		if err != nil {
			return Auth{}, cluster.E(op, "", cluster.KindOther, err)
		}
		return a, nil
	}
	cl, err := readClaim(c)
	if err != nil {
		return Auth{}, cluster.E(op, "", cluster.KindOther, err)
	}
	if err := v.checkClaim(c, cl, now); err != nil {
		return Auth{}, cluster.E(op, string(cl.accessKey), cluster.KindOther, err)
	}
	if err := v.checkSignature(c, cl); err != nil {
		return Auth{}, cluster.E(op, string(cl.accessKey), cluster.KindOther, err)
	}
	a := Auth{AccessKey: cl.accessKey, Presigned: cl.presigned, Time: cl.date, Token: c.Get(tokenHeader)}
	a.Payload, err = payloadOf(c, cl)
	if err != nil {
		return Auth{}, cluster.E(op, string(cl.accessKey), cluster.KindOther, err)
	}
	return a, nil
}

// checkRepeated refuses an x-amz-* header that is there twice. A signature covers repeated headers joined by a comma, so
// one signed value with a comma in it could be sent as two, of which only the first counts. Metadata and the list of attributes
// are joined in use, too.
func checkRepeated(c *Call) error {
	const op = "s3.checkRepeated"
	fields := c.amzOfHeader()
	for i, f := range fields {
		if strings.HasPrefix(f.Name, metaPrefix) || f.Name == attributesHeader {
			continue
		}
		if fieldIndex(fields[:i], f.Name) >= 0 {
			return invalidArgument(op, f.Name, "", "The header "+f.Name+" is given twice.")
		}
	}
	return nil
}

// readClaim finds the one signature of a request.
func readClaim(c *Call) (*claim, error) {
	const op = "s3.readClaim"
	authorization := c.Header.Get("Authorization")
	presigned := c.Params.Has("X-Amz-Algorithm") || c.Params.Has("X-Amz-Signature") || c.Params.Has("X-Amz-Credential")
	switch {
	case authorization != "" && (presigned || isPresignedV2(c.Params)):
		return nil, invalidArgument(op, "Authorization", authorization, "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, "+
			"Signature query string parameter or the Authorization header should be specified")
	case authorization != "":
		return headerClaim(c, authorization)
	case presigned:
		return queryClaim(c)
	}
	return nil, NewFault(op, AccessDenied, "")
}

func oldMechanism(op string) error {
	return NewFault(op, InvalidRequest, "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.")
}

// checkClaim verifies everything of a claim but the signature itself.
func (v *Verifier) checkClaim(c *Call, cl *claim, now time.Time) error {
	const op = "s3.Verifier.checkClaim"
	if v.o.Region != "" && cl.region != v.o.Region {
		return credentialFault(op, cl, "the region '"+cl.region+"' is wrong; expecting '"+v.o.Region+"'", Field{"Region", v.o.Region})
	}
	if cl.presigned {
		if err := checkPresignedTime(cl, now); err != nil {
			return err
		}
	} else if skew := now.Sub(cl.date).Abs(); skew > MaxSkew {
		return NewFault(op, RequestTimeTooSkewed, "", Field{"RequestTime", cl.date.Format(timeAmz)},
			Field{"ServerTime", now.UTC().Format(time.RFC3339)}, Field{"MaxAllowedSkewMilliseconds", "900000"})
	}
	if err := v.checkToken(cl.accessKey, c.Get(tokenHeader), now); err != nil {
		return err
	}
	return checkSignedHeaders(c, cl)
}

// tokenHeader has the token of a session, in the header or in the query of a presigned URL.
const tokenHeader = "x-amz-security-token"

// checkToken demands of a temporary key the token of its session, and of any other that there is none.
func (v *Verifier) checkToken(id cluster.AccessKeyID, token string, now time.Time) error {
	const op = "s3.Verifier.checkToken"
	switch {
	case !id.IsTemporary() && token == "":
		return nil
	case !id.IsTemporary() || v.o.Session == nil:
		return NewFault(op, InvalidToken, "")
	case token == "":
		return NewFault(op, InvalidAccessKeyID, "", Field{"AWSAccessKeyId", string(id)})
	}
	return v.o.Session(id, token, now)
}

// checkPresignedTime refuses a URL before its time and after its end.
func checkPresignedTime(cl *claim, now time.Time) error {
	const op = "s3.checkPresignedTime"
	if cl.date.Sub(now) > MaxSkew {
		return NewFault(op, AccessDenied, "Request is not yet valid", Field{"RequestTime", cl.date.Format(timeAmz)},
			Field{"ServerTime", now.UTC().Format(time.RFC3339)})
	}
	end := cl.date.Add(cl.expires)
	if now.After(end) {
		return NewFault(op, AccessDenied, "Request has expired", Field{"X-Amz-Expires", itoa(int(cl.expires / time.Second))},
			Field{"Expires", end.Format(time.RFC3339)}, Field{"ServerTime", now.UTC().Format(time.RFC3339)})
	}
	return nil
}

// checkSignedHeaders demands that the signature covers the host and every x-amz-* header: what it does not cover could
// have been added by anyone on the way.
func checkSignedHeaders(c *Call, cl *claim) error {
	const op = "s3.checkSignedHeaders"
	var missing []string
	if indexFold(cl.signed, "host") < 0 {
		missing = append(missing, "host")
	}
	for _, f := range c.amzOfHeader() {
		if indexFold(cl.signed, f.Name) < 0 && !exemptHeader(cl, f.Name) {
			missing = append(missing, f.Name)
		}
	}
	if missing != nil {
		return NewFault(op, AccessDenied, "There were headers present in the request which were not signed",
			Field{"HeadersNotSigned", strings.Join(missing, ", ")})
	}
	return nil
}

// exemptHeader names the headers that carry the signature's own data and may stay unsigned.
func exemptHeader(cl *claim, name string) bool {
	return cl.presigned && strings.EqualFold(name, "x-amz-content-sha256")
}

// checkSignature recomputes the signature. The path is tried in AWS's canonical form and, when that is another string, as
// it was sent: some clients sign what they send, and that too binds every byte of it.
func (v *Verifier) checkSignature(c *Call, cl *claim) error {
	const op = "s3.Verifier.checkSignature"
	secret, ok := v.o.Secret(cl.accessKey)
	if !ok {
		return NewFault(op, InvalidAccessKeyID, "", Field{"AWSAccessKeyId", string(cl.accessKey)})
	}
	key := v.o.Keys.Get(cl.accessKey, secret, cl.scope())
	path, values := canonicalPath(c.Path), signedValues(c, cl.signed)
	canonical := canonicalRequest(c, cl, path, values)
	toSign := stringToSign(cl, canonical)
	if sameSignature(key, toSign, cl.signature) {
		return nil
	}
	if path != c.Path && sameSignature(key, stringToSign(cl, canonicalRequest(c, cl, c.Path, values)), cl.signature) {
		return nil
	}
	return NewFault(op, SignatureDoesNotMatch, "", Field{"AWSAccessKeyId", string(cl.accessKey)},
		Field{"StringToSign", toSign}, Field{"SignatureProvided", cl.signature}, Field{"CanonicalRequest", canonical})
}

// sameSignature compares in constant time.
func sameSignature(key []byte, toSign, signature string) bool {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(toSign))
	var sum [sha256.Size]byte
	var text [2 * sha256.Size]byte
	hex.Encode(text[:], mac.Sum(sum[:0]))
	return hmac.Equal(text[:], []byte(signature))
}

// stringToSign is the second step of SigV4.
func stringToSign(cl *claim, canonical string) string {
	hash := sha256.Sum256([]byte(canonical))
	b := make([]byte, 0, 192)
	b = append(b, algorithm+"\n"...)
	b = cl.date.AppendFormat(b, timeAmz)
	b = append(b, '\n')
	for _, part := range []string{cl.day, "/", cl.region, "/", cl.service, "/", cl.terminatedBy, "\n"} {
		b = append(b, part...)
	}
	return string(hex.AppendEncode(b, hash[:]))
}
