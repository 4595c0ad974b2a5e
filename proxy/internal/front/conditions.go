package front

import (
	"crypto/tls"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/proxy/internal/access"
	"github.com/aisle-store/aisle/s3"
)

// conditions answers for the condition keys of one request. It is a policy.Context.
type conditions struct {
	who    *access.Subject
	req    *httpd.Request
	call   *s3.Call // nil of the native API
	auth   s3.Auth
	form   bool                // the signature is that of a browser's form
	bucket cluster.BucketEntry // the last one that was judged

	// The version that is judged, where the request names it elsewhere than in its parameter.
	version cluster.VersionID

	region   string
	now      time.Time
	list     *url.Values         // parameters of a list by the native API, by their names in S3
	lock     *s3.ObjectLock      // of a request whose body is the lock of an object
	location string              // LocationConstraint of a bucket that is to be made
	tagged   []s3.Field          // of a request whose body is the tags of an object
	sts      map[string][]string // condition keys of a request to become a role
}

// Lookup implements policy.Context.
func (c *conditions) Lookup(key string) []string {
	if v, ok := c.who.Web[key]; ok {
		return v
	}
	if v, ok := c.sts[key]; ok {
		return v
	}
	vendor, name, _ := strings.Cut(key, ":")
	switch vendor {
	case "aws":
		if tag, ok := strings.CutPrefix(name, "principaltag/"); ok {
			if value, ok := c.who.Tags[tag]; ok {
				return []string{value}
			}
			return nil
		}
		return one(c.global(name))
	case "s3":
		if v, ok := c.ofAuth(name); ok {
			return v
		}
		if c.call != nil {
			return c.ofS3(name)
		}
		if c.list != nil {
			return (*c.list)[name]
		}
	case "aisle":
		if name == "bucketowner" {
			return one(string(c.bucket.Owner))
		}
	}
	return nil
}

// one makes a value a list; an empty one is missing.
func one(value string) []string {
	if value == "" {
		return nil
	}
	return []string{value}
}

// global answers for AWS's global condition keys, as far as there is an answer here.
func (c *conditions) global(name string) string {
	switch name {
	case "currenttime":
		return c.now.UTC().Format(time.RFC3339)
	case "epochtime":
		return strconv.FormatInt(c.now.Unix(), 10)
	case "securetransport":
		return strconv.FormatBool(c.req.TLS)
	case "sourceip":
		host, _, _ := net.SplitHostPort(c.req.Remote)
		return host
	case "useragent":
		return c.req.Header.Get("User-Agent")
	case "referer":
		return c.req.Header.Get("Referer")
	case "requestedregion":
		return c.region
	case "username":
		return string(c.who.User)
	case "userid":
		return c.who.ID
	case "principaltype":
		return c.who.Type
	case "sourceidentity":
		return c.who.SourceIdentity
	case "tokenissuetime":
		if c.who.Issued.IsZero() {
			return ""
		}
		return c.who.Issued.UTC().Format(time.RFC3339)
	case "principalarn":
		return c.who.Principal.ARN
	case "principalaccount":
		return c.who.Principal.Account
	case "resourceaccount":
		return cluster.Account
	case "principalisawsservice", "viaawsservice":
		return "false"
	}
	return ""
}

// tlsVersions are the versions of TLS as conditions compare them.
var tlsVersions = map[uint16]string{tls.VersionTLS12: "1.2", tls.VersionTLS13: "1.3"}

// ofAuth answers for the condition keys of S3 about the signature, the connection and the account, of whatever kind of request.
func (c *conditions) ofAuth(name string) (values []string, ok bool) {
	switch name {
	case "tlsversion":
		return one(tlsVersions[c.req.TLSVersion]), true
	case "resourceaccount":
		return []string{cluster.Account}, true
	case "authtype", "signatureversion", "signatureage":
	default:
		return nil, false
	}
	switch {
	case c.auth.AccessKey == "":
		return nil, true
	case name == "signatureage": // by Version 2 there is no time of signing: the age is the largest
		return []string{strconv.FormatInt(max(c.now.Sub(c.auth.Time), 0).Milliseconds(), 10)}, true
	case name == "signatureversion" && c.auth.Version2:
		return []string{"AWS"}, true
	case name == "signatureversion":
		return []string{"AWS4-HMAC-SHA256"}, true
	case c.form:
		return []string{"POST"}, true
	case c.auth.Presigned:
		return []string{"REST-QUERY-STRING"}, true
	}
	return []string{"REST-HEADER"}, true
}

// creations says of the operations that need s3:PutObject whether they make an object, as conditions on If-None-Match ask.
var creations = map[s3.Operation]string{
	s3.PutObject: "true", s3.PostObject: "true", s3.CopyObject: "true", s3.CompleteMultipartUpload: "true",
	s3.CreateMultipartUpload: "false", s3.UploadPart: "false", s3.UploadPartCopy: "false",
}

// ofS3 answers for the condition keys of S3. Parameters and headers are there when the request has them, empty ones too.
func (c *conditions) ofS3(name string) []string {
	switch name {
	case "prefix", "delimiter", "max-keys":
		return c.parameter(name)
	case "versionid":
		if c.version != "" {
			return []string{string(c.version)}
		}
		return c.parameter("versionId")
	case "requestobjecttagkeys":
		return c.tagKeys()
	case "locationconstraint":
		return one(c.location)
	case "objectcreationoperation":
		return one(creations[c.call.Op])
	case "if-match", "if-none-match":
		return one(c.call.Header.Get(name))
	}
	if name, ok := strings.CutPrefix(name, "object-lock-"); ok {
		return one(c.ofLock(name))
	}
	if tag, ok := strings.CutPrefix(name, "requestobjecttag/"); ok {
		var values []string
		for k, v := range c.tags() {
			if strings.EqualFold(k, tag) {
				values = append(values, v...)
			}
		}
		return values
	}
	if strings.HasPrefix(name, "x-amz-") {
		return one(c.call.Get(name))
	}
	return nil
}

func (c *conditions) parameter(name string) []string {
	if v, ok := c.call.Params.Lookup(name); ok {
		return []string{v}
	}
	return nil
}

// tags returns the tags that the request gives to its object, by its body or by a header.
func (c *conditions) tags() url.Values {
	if c.call.Op == s3.PutObjectTagging {
		tags := make(url.Values)
		for _, t := range c.tagged {
			tags.Set(t.Name, t.Value)
		}
		return tags
	}
	if !c.call.GivesTags() {
		return nil
	}
	tags, err := url.ParseQuery(c.call.Get(s3.TaggingHeader))
	if err != nil {
		return nil
	}
	return tags
}

func (c *conditions) tagKeys() []string {
	var keys []string
	for k := range c.tags() {
		keys = append(keys, k)
	}
	return keys
}
