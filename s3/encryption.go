package s3

import (
	"crypto/md5"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"strings"
)

// The headers of encryption.
const (
	HeaderEncryption   = "x-amz-server-side-encryption"
	HeaderKMSKey       = HeaderEncryption + "-aws-kms-key-id"
	HeaderKMSContext   = HeaderEncryption + "-context"
	HeaderBucketKey    = HeaderEncryption + "-bucket-key-enabled"
	customerPrefix     = HeaderEncryption + "-customer-"
	copyCustomerPrefix = "x-amz-copy-source-server-side-encryption-customer-"

	// Of a customer's key, and of the one of a copy's source.
	HeaderCustomerAlgorithm     = customerPrefix + "algorithm"
	HeaderCustomerKey           = customerPrefix + "key"
	HeaderCustomerKeyMD5        = customerPrefix + "key-MD5"
	HeaderCopyCustomerAlgorithm = copyCustomerPrefix + "algorithm"
	HeaderCopyCustomerKey       = copyCustomerPrefix + "key"
	HeaderCopyCustomerKeyMD5    = copyCustomerPrefix + "key-MD5"
)

// The methods of encryption that x-amz-server-side-encryption can name here.
const (
	EncryptS3  = "AES256"
	EncryptKMS = "aws:kms"
)

const (
	noKMSHeader   = "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms"
	noContextForm = "The header 'x-amz-server-side-encryption-context' shall be Base64-encoded UTF-8 string holding JSON which represents a string-string map"
)

// isEncryptionHeader reports whether a header is one of the above; its name is in lower case.
func isEncryptionHeader(name string) bool {
	if !strings.HasPrefix(name, HeaderEncryption) && !strings.HasPrefix(name, copyCustomerPrefix) {
		return false
	}
	switch name {
	case HeaderEncryption, HeaderKMSKey, HeaderKMSContext, HeaderBucketKey:
		return true
	}
	for _, prefix := range [...]string{customerPrefix, copyCustomerPrefix} {
		switch strings.TrimPrefix(name, prefix) {
		case "algorithm", "key", "key-md5":
			return true
		}
	}
	return false
}

// SpeaksOfEncryption reports whether a request has a header of encryption.
func (c *Call) SpeaksOfEncryption() bool { return c.encryption }

// Encryption is how a request asks for what it writes to be encrypted, customers' keys aside.
type Encryption struct {
	Method    string // "": it does not ask
	KeyID     string // of EncryptKMS; "": the default key
	Context   string // of EncryptKMS: JSON, its names in order
	BucketKey *bool
}

// ReadEncryption reads the headers of a request that makes an object or upload.
func ReadEncryption(c *Call) (Encryption, error) {
	const op = "s3.ReadEncryption"
	e := Encryption{Method: c.Get(HeaderEncryption), KeyID: c.Get(HeaderKMSKey)}
	context := c.Get(HeaderKMSContext)
	if b := c.Get(HeaderBucketKey); b != "" {
		enabled := strings.EqualFold(b, "true")
		if !enabled && !strings.EqualFold(b, "false") {
			return e, invalidArgument(op, HeaderBucketKey, b, "The value of the header x-amz-server-side-encryption-bucket-key-enabled is not valid.")
		}
		e.BucketKey = &enabled
	}
	switch e.Method {
	case EncryptKMS:
	case EncryptS3, "":
		if c.hasAmz(HeaderEncryption) && e.Method == "" {
			return e, invalidArgument(op, HeaderEncryption, "", "The encryption method specified is not supported")
		}
		if e.KeyID != "" || context != "" {
			return e, invalidArgument(op, HeaderEncryption, e.Method, noKMSHeader)
		}
	case "aws:kms:dsse", "aws:fsx", "aws:backup":
		return e, notImplemented(op, "The encryption method "+e.Method+" is not implemented.", Field{"Header", HeaderEncryption})
	default:
		return e, invalidArgument(op, HeaderEncryption, e.Method, "The encryption method specified is not supported")
	}
	if context == "" {
		return e, nil
	}
	var err error
	if e.Context, err = canonicalContext(context); err != nil {
		return e, invalidArgument(op, HeaderKMSContext, context, noContextForm)
	}
	return e, nil
}

// canonicalContext gives an encryption context the form in which equal ones are equal.
func canonicalContext(text string) (string, error) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "", err
	}
	var pairs map[string]string
	if err := json.Unmarshal(raw, &pairs); err != nil {
		return "", err
	}
	canonical, err := json.Marshal(pairs)
	return string(canonical), err
}

// NoEncryptionHeaders refuses the headers that say how something is to be encrypted, in a request that writes nothing or whose
// upload has said it.
func NoEncryptionHeaders(c *Call) error {
	const op = "s3.NoEncryptionHeaders"
	for _, name := range [...]string{HeaderEncryption, HeaderKMSKey, HeaderKMSContext, HeaderBucketKey} {
		if v := c.Get(name); v != "" {
			return invalidArgument(op, name, v, name+" header is not supported for this operation.")
		}
	}
	return nil
}

// CustomerKey is a key of a client's own, which is never kept. It prints as a placeholder.
type CustomerKey struct {
	Key []byte
	MD5 string // as the client sent it
}

// customerKeySize is the length of a customer's key in bytes.
const customerKeySize = 32

// String hides the key.
func (k *CustomerKey) String() string { return "(customer's key)" }

// GoString hides the key.
func (k *CustomerKey) GoString() string { return k.String() }

// ReadCustomerKey returns the customer's key of a request, or nil. decode reads the header that holds the key; see
// DecodeCustomerKey.
func ReadCustomerKey(c *Call, decode func(text string) ([]byte, error)) (*CustomerKey, error) {
	const op = "s3.ReadCustomerKey"
	k, err := readCustomerKey(c, customerPrefix, decode)
	if method := c.Get(HeaderEncryption); k != nil && method != "" {
		return nil, invalidArgument(op, HeaderEncryption, method,
			"Server Side Encryption with Customer provided key is incompatible with the encryption method specified")
	}
	return k, err
}

// ReadSourceKey returns the customer's key of the source that a request copies, or nil.
func ReadSourceKey(c *Call, decode func(text string) ([]byte, error)) (*CustomerKey, error) {
	return readCustomerKey(c, copyCustomerPrefix, decode)
}

// DecodeCustomerKey reads a customer's key as clients write it.
func DecodeCustomerKey(text string) ([]byte, error) { return base64.StdEncoding.DecodeString(text) }

func readCustomerKey(c *Call, prefix string, decode func(text string) ([]byte, error)) (*CustomerKey, error) {
	const op = "s3.readCustomerKey"
	algorithm, text, sum := c.Get(prefix+"algorithm"), c.Header.Get(prefix+"key"), c.Get(prefix+"key-MD5")
	refuse := func(message string) error { return invalidArgument(op, HeaderEncryption, "null", message) }
	const of = "Requests specifying Server Side Encryption with Customer provided keys must provide "
	switch {
	case c.Get(prefix+"key") != text:
		return nil, NewFault(op, InvalidRequest, "A customer provided key is sent as a header, never in a URL.")
	case algorithm == "" && text == "" && sum == "":
		return nil, nil
	case algorithm == "":
		return nil, refuse(of + "a valid encryption algorithm.")
	case algorithm != EncryptS3:
		return nil, NewFault(op, InvalidEncryptionAlgorithm, "", Field{"ArgumentName", HeaderEncryption}, Field{"ArgumentValue", algorithm})
	case text == "":
		return nil, refuse(of + "an appropriate secret key.")
	case sum == "":
		return nil, refuse(of + "the client calculated MD5 of the secret key.")
	}
	key, err := decode(text)
	if err != nil {
		return nil, refuse("The secret key was invalid for the specified algorithm.")
	}
	want, err := base64.StdEncoding.DecodeString(sum)
	if is := md5.Sum(key); err != nil || subtle.ConstantTimeCompare(is[:], want) != 1 {
		return nil, refuse("The calculated MD5 hash of the key did not match the hash that was provided.")
	}
	if len(key) != customerKeySize {
		return nil, refuse("The secret key was invalid for the specified algorithm.")
	}
	return &CustomerKey{Key: key, MD5: sum}, nil
}
