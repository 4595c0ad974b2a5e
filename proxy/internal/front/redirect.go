package front

import (
	"net/http"
	"strings"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/cluster/intra"
	"github.com/aisle-store/aisle/s3"
)

// HeaderRedirect lets a client that knows better than its User-Agent tells choose: "always", "never" or "auto".
const HeaderRedirect = "Aisle-Redirect"

// followers are the User-Agents that were seen to follow a 307 of a GET or HEAD to another port or address, to keep its
// query, and to need nothing else. Scripts' agents (curl, wget, browsers) follow only when told to, so they have to ask.
var followers = []string{"aws-sdk-go/", "aws-sdk-go-v2/", "rclone/", "s3fs/"}

// getFollowers follow a GET; their HEAD was not seen.
var getFollowers = []string{"object_store/"}

// redirects decides whether the client is sent to the owner. It never is when the cluster says never, for then clients cannot
// reach the targets; when the owner has no public URL of the client's scheme; when the body may not be replayed; or when this
// is already a second attempt: the first may have been redirected and the client may be one that cannot follow; nor when a page
// of another origin asks, for only gateways know the CORS rules; nor with a customer's key, which gateways seal. Else the
// first that says something decides: the request's header, the key, the bucket, the cluster.
func redirects(byCluster, byBucket string, g *intra.Grant, owner cluster.Node, req *httpd.Request) bool {
	scheme := "http://"
	if req.TLS {
		scheme = "https://"
	}
	if !strings.HasPrefix(owner.PublicURL, scheme) || byCluster == "never" || req.Method == http.MethodPost {
		return false
	}
	if strings.HasPrefix(g.Payload.Mode, "STREAMING-") || isRetry(req) || req.Header.Get("Origin") != "" {
		return false
	}
	if req.Header.Has(s3.HeaderCustomerKey) || req.Header.Has(s3.HeaderCopyCustomerKey) {
		return false
	}
	for _, mode := range [...]string{req.Header.Get(HeaderRedirect), g.Redirect, byBucket, byCluster} {
		switch mode {
		case "always":
			return true
		case "never":
			return false
		case "auto":
			return follows(req)
		}
	}
	return false
}

// follows reports whether the client is one that is known to follow.
func follows(req *httpd.Request) bool {
	agent := req.Header.Get("User-Agent")
	switch req.Method {
	case http.MethodGet:
		return hasPrefix(agent, followers) || hasPrefix(agent, getFollowers)
	case http.MethodHead:
		return hasPrefix(agent, followers)
	}
	return false
}

// isRetry reads the attempt number that AWS's SDKs send: "attempt=2; max=3".
func isRetry(req *httpd.Request) bool {
	for part := range strings.SplitSeq(req.Header.Get("amz-sdk-request"), ";") {
		if n, ok := strings.CutPrefix(strings.TrimSpace(part), "attempt="); ok {
			return n != "1"
		}
	}
	return false
}

func hasPrefix(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}
