package s3

import "time"

// IsAnonymous reports whether a request carries no signature at all, not even a bad one.
func IsAnonymous(c *Call) bool {
	return c.Header.Get("Authorization") == "" && !c.Params.Has("X-Amz-Algorithm") && !c.Params.Has("X-Amz-Signature") && !c.Params.Has("X-Amz-Credential") &&
		!c.Params.Has("AWSAccessKeyId") && !c.Params.Has("Signature")
}

// AnonymousAuth is what is known of a request without a signature: how its body is framed, and which hash it states.
func AnonymousAuth(c *Call) (Auth, error) {
	const op = "s3.AnonymousAuth"
	if len(ResponseOverrides(c)) > 0 && (c.Op == GetObject || c.Op == HeadObject) {
		return Auth{}, NewFault(op, InvalidRequest, "Request specific response headers cannot be used for anonymous GET requests.")
	}
	mode := c.Header.Get("x-amz-content-sha256")
	switch mode {
	case "":
		mode = modeUnsigned
	case modeSignedChunks, modeSignedChunksTrailer:
		return Auth{}, NewFault(op, AccessDenied, "")
	}
	payload, err := payloadOf(c, &claim{payload: mode, date: time.Unix(0, 0).UTC()})
	return Auth{Payload: payload}, err
}
