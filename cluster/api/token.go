package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// A bearer token is bound to an access key: AISLE1.KEY.EXPIRY.MAC, where KEY is the access key in base64url, EXPIRY the
// seconds since 1970 in decimal, and MAC the HMAC-SHA256 of "AISLE1.KEY.EXPIRY" under the secret of the key, in
// hexadecimal. Whoever has the key pair can make one; every node can verify one; it ends with its time or with the key.
const tokenVersion = "AISLE1"

// NewToken returns a bearer token of a key pair that is valid until expires.
func NewToken(id cluster.AccessKeyID, secret string, expires time.Time) string {
	head := tokenVersion + "." + base64.RawURLEncoding.EncodeToString([]byte(id)) + "." + strconv.FormatInt(expires.Unix(), 10)
	return head + "." + tokenMAC(head, secret)
}

func tokenMAC(head, secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(head))
	return hex.EncodeToString(mac.Sum(nil))
}

// VerifyToken returns the access key that a bearer token is bound to. secretOf returns the secret of a key, if there is one.
func VerifyToken(token string, now time.Time, secretOf func(cluster.AccessKeyID) (string, bool)) (cluster.AccessKeyID, error) {
	const op = "cluster/api.VerifyToken"
	refused := cluster.Fail(op, "", cluster.KindUnauthenticated, "the bearer token is not valid")
	parts := strings.Split(token, ".")
	if len(parts) != 4 || parts[0] != tokenVersion {
		return "", refused
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", refused
	}
	id := cluster.AccessKeyID(raw)
	secret, ok := secretOf(id)
	if !ok || !hmac.Equal([]byte(tokenMAC(strings.Join(parts[:3], "."), secret)), []byte(parts[3])) {
		return "", refused
	}
	expires, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil || now.Unix() >= expires {
		return "", cluster.Fail(op, "", cluster.KindUnauthenticated, "the bearer token has expired")
	}
	return id, nil
}
