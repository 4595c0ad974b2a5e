package s3

import (
	"net"
	"strings"
	"unicode/utf8"

	"github.com/aisle-store/aisle/cluster"
)

// Prefix is the path under which S3 is served beside the root, for clients that were written for AIStore.
const Prefix = "/s3"

// Router turns requests into calls.
type Router struct {
	// Domains are the suffixes of virtual-hosted requests, in lower case: bucket.domain. Hosts outside of them, and they
	// themselves, are path style.
	Domains []string
	// Websites are the suffixes of hosts at which buckets are shown as websites.
	Websites []string
}

// Parse finds resource, parameters and operation. Also with an error the call has what was understood so far, for the
// error's XML. The bucket's name is not validated: a name that no bucket can have just does not exist.
func (r *Router) Parse(req Request) (*Call, error) {
	const op = "s3.Router.Parse"
	c := &Call{Request: req}
	var err error
	// First the parameters: without them no signature holds, and what is wrong with the rest could not be told.
	if c.Params, err = ParseQuery(req.Query); err != nil {
		return c, cluster.E(op, "", cluster.KindOther, err)
	}
	if err := r.resource(c); err != nil {
		return c, cluster.E(op, "", cluster.KindOther, err)
	}
	if c.Op, err = route(c); err != nil {
		return c, cluster.E(op, string(c.Bucket), cluster.KindOther, err)
	}
	return c, nil
}

// Granted parses a request whose bucket and key another node has found out already: the host and path of a request that
// was sent on need not name them.
func Granted(req Request, bucket cluster.BucketName, key cluster.ObjectKey) (*Call, error) {
	const op = "s3.Granted"
	c := &Call{Request: req, Bucket: bucket, Key: key}
	var err error
	if c.Params, err = ParseQuery(req.Query); err != nil {
		return c, cluster.E(op, "", cluster.KindOther, err)
	}
	if c.Op, err = route(c); err != nil {
		return c, cluster.E(op, string(bucket), cluster.KindOther, err)
	}
	return c, nil
}

// resource splits the path (and host) into bucket and key.
func (r *Router) resource(c *Call) error {
	const op = "s3.Router.resource"
	path := c.Path
	if !strings.HasPrefix(path, "/") {
		return NewFault(op, InvalidURI, "")
	}
	bucket := r.HostBucket(c.Host)
	c.virtual = bucket != ""
	if rest, ok := strings.CutPrefix(path, Prefix); ok && !c.virtual && (rest == "" || rest[0] == '/') {
		path = rest
	}
	path = strings.TrimPrefix(path, "/")
	if !c.virtual {
		var err error
		bucket, path, _ = strings.Cut(path, "/")
		if bucket, err = unescape(bucket, false); err != nil {
			return NewFault(op, InvalidURI, "")
		}
	}
	key, err := unescape(path, false)
	if err != nil {
		return NewFault(op, InvalidURI, "")
	}
	c.Bucket, c.Key = cluster.BucketName(bucket), cluster.ObjectKey(key)
	switch {
	case bucket == "" && key != "":
		return NewFault(op, InvalidURI, "")
	case len(key) > cluster.MaxKeyLength:
		return NewFault(op, KeyTooLong, "", Field{"Size", itoa(len(key))}, Field{"MaxSizeAllowed", itoa(cluster.MaxKeyLength)})
	case !utf8.ValidString(key):
		return NewFault(op, InvalidURI, "")
	}
	return nil
}

// HostBucket returns the bucket of a virtual-hosted request, or "". Of several domains that fit the longest counts.
func (r *Router) HostBucket(host string) string {
	if len(r.Domains) == 0 {
		return ""
	}
	bucket, _ := below(host, r.Domains)
	return bucket
}

// WebsiteBucket returns the bucket that is shown as a website at a host, or "". A host that is also one of S3's is a website's
// if that domain is the longer one.
func (r *Router) WebsiteBucket(host string) string {
	if len(r.Websites) == 0 {
		return ""
	}
	bucket, _ := below(host, r.Websites)
	if bucket == "" {
		return ""
	}
	if other, itself := below(host, r.Domains); itself || other != "" && len(other) <= len(bucket) {
		return ""
	}
	return bucket
}

// below returns what stands in a host before the longest of the domains that fits, and whether the host is one itself.
func below(host string, domains []string) (bucket string, itself bool) {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(host)
	for _, domain := range domains {
		if host == domain {
			return "", true
		}
		if name, ok := strings.CutSuffix(host, "."+domain); ok && (bucket == "" || len(name) < len(bucket)) {
			bucket = name
		}
	}
	return bucket, false
}

// Website finds the object that a browser asks a website for, the one with the bucket's index not yet found. Only GET and HEAD
// ask; parameters mean nothing.
func (r *Router) Website(req Request) (*Call, error) {
	const op = "s3.Router.Website"
	c := &Call{Request: req, Op: GetObject}
	c.Query = ""
	site := Router{Domains: r.Websites}
	if err := site.resource(c); err != nil {
		return c, cluster.E(op, "", cluster.KindOther, err)
	}
	switch req.Method {
	case "GET":
	case "HEAD":
		c.Op = HeadObject
	default:
		return c, NewFault(op, MethodNotAllowed, "")
	}
	return c, nil
}
