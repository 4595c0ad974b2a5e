// Package s3 is the S3 dialect as pure protocol: which operation a request asks for, whether its signature holds, how its
// body is framed and checked, and the XML and headers of requests and replies. It knows no HTTP library, no store and no
// cluster state: a request is a Request value, a body is an io.Reader, and a reply is bytes and header pairs.
//
// A gateway parses and verifies:
//
//	call, err := router.Parse(req)           // resource, query, operation; or the exact refusal
//	auth, err := verifier.Verify(call, now)  // who signed it, and how the body is protected
//
// and whoever reads the body, which may be another node, opens it with what the gateway found out:
//
//	body, err := s3.OpenBody(r, call, s3.BodyOptions{...})  // framing taken off, hashes and chunk signatures verified
//
// Every error is a *cluster.Error; where the kind alone does not tell S3's code, it wraps a *Fault. ErrorReply turns
// any error into status, headers and XML.
package s3
