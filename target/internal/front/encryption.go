package front

import (
	"context"
	"encoding/base64"
	"strings"

	"github.com/aisle-store/aisle/cluster"
	clusterconfig "github.com/aisle-store/aisle/cluster/config"
	"github.com/aisle-store/aisle/cluster/intra"
	"github.com/aisle-store/aisle/s3"
	"github.com/aisle-store/aisle/target/internal/sse"
	"github.com/aisle-store/aisle/target/internal/store"
)

// Encryption keys that are made when they are first needed.
const (
	s3Key         = "aisle/s3" // of objects with S3's own keys
	defaultKMSKey = "aws/s3"   // of objects with aws:kms that name no key

	defaultKMSID = "arn:aws:kms:us-east-1:" + cluster.Account + ":alias/" + defaultKMSKey
)

// EncryptionKind is the kind of the document that says how the objects of a bucket are encrypted.
const EncryptionKind = "encryption"

// AWS's words.
const (
	needsParameters  = "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve the object."
	notApplicable    = "The encryption parameters are not applicable to this object."
	needsCorrectKey  = "Requests specifying Server Side Encryption with Customer provided keys must provide the correct secret key."
	uploadsEncrypted = "The multipart upload initiate requested encryption. Subsequent part requests must include the appropriate encryption parameters."
	otherParameters  = "The provided encryption parameters did not match the ones used originally."
)

// openSealed reads a customer's key that its gateway has sealed: requests go from node to node in the clear.
func (f *Front) openSealed(text string) ([]byte, error) {
	sealed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	return f.o.Control.Open(sealed)
}

// readCustomer takes the customer's key of a request, and refuses headers of encryption that the operation does not take.
func (f *Front) readCustomer(r *request) (err error) {
	if !r.call.SpeaksOfEncryption() {
		return nil
	}
	switch r.call.Op {
	case s3.GetObject, s3.HeadObject, s3.GetObjectAttributes, s3.UploadPart, s3.UploadPartCopy:
		if err := s3.NoEncryptionHeaders(r.call); err != nil {
			return err
		}
	}
	r.keys.customer, err = s3.ReadCustomerKey(r.call, f.openSealed)
	return err
}

// objectKeys opens the keys of one object for one request. It is a store.Keys.
type objectKeys struct {
	state    State
	bucket   cluster.Bucket
	key      cluster.ObjectKey
	customer *s3.CustomerKey // that the request has, or nil
}

// Check implements store.Keys.
func (k *objectKeys) Check(e *store.Encryption, parts bool, size int64) error {
	const op = "target/front.objectKeys.Check"
	switch {
	case e == nil || e.Mode != store.CustomerMode:
		if k.customer != nil {
			return s3.NewFault(op, s3.InvalidRequest, notApplicable)
		}
		return nil
	case k.customer == nil:
		return s3.NewFault(op, s3.InvalidRequest, needsParameters)
	case parts:
		return k.unlock(e, s3.AccessDenied, needsCorrectKey)
	}
	key, err := k.Open(e, e.Sealed, 0, size)
	clear(key)
	return err
}

// unlock refuses a customer's key that is not the one of an upload.
func (k *objectKeys) unlock(e *store.Encryption, code s3.Code, message string) error {
	const op = "target/front.objectKeys.unlock"
	if _, err := sse.Open(k.customer.Key, e.Sealed, k.binding(e, store.UnlockPart, 0)); err != nil {
		return s3.NewFault(op, code, message)
	}
	return nil
}

// Open implements store.Keys.
func (k *objectKeys) Open(e *store.Encryption, sealed []byte, part int, size int64) ([]byte, error) {
	const op = "target/front.objectKeys.Open"
	if e.Mode == store.CustomerMode {
		if k.customer == nil {
			return nil, s3.NewFault(op, s3.InvalidRequest, needsParameters)
		}
		key, err := sse.Open(k.customer.Key, sealed, k.binding(e, part, size))
		if err != nil {
			return nil, s3.NewFault(op, s3.AccessDenied, needsCorrectKey)
		}
		return key, nil
	}
	under, err := k.state.EncryptionKey(keyOf(e), sse.Number(sealed))
	if cluster.Is(err, cluster.KindNotFound) {
		return nil, keyNotFound(op, e.Key)
	}
	if err != nil {
		return nil, err
	}
	defer clear(under.Key[:])
	key, err := sse.Open(under.Key[:], sealed, k.binding(e, part, size))
	if err != nil {
		return nil, cluster.E(op, k.bucket.Object(k.key), cluster.KindCorrupt, err)
	}
	return key, nil
}

// binding is what the key of data is sealed for. It holds what stays when an object is copied to other holders, moved to another
// layout, or becomes an older version.
func (k *objectKeys) binding(e *store.Encryption, part int, size int64) []byte {
	return sse.Binding(part, size, e.Mode, k.bucket.String(), string(k.key), e.Key, e.Context)
}

// keyOf is the name of the encryption key that seals the keys of data.
func keyOf(e *store.Encryption) string {
	if e.Mode == store.S3Mode {
		return s3Key
	}
	return kmsName(e.Key)
}

// kmsName is the name that a client's identifier of a key stands for: a name, an alias, or the ARN of either.
func kmsName(id string) string {
	if rest, ok := strings.CutPrefix(id, "arn:aws:kms:"); ok {
		parts := strings.SplitN(rest, ":", 3)
		id = strings.TrimPrefix(parts[len(parts)-1], "key/")
	}
	return strings.TrimPrefix(id, "alias/")
}

func keyNotFound(op, id string) error {
	return s3.NewFault(op, s3.KMSKeyNotFound, "Invalid keyId "+id)
}

// encryption says how the bytes that a request writes are to be encrypted; nil: they are not.
func (f *Front) encryption(ctx context.Context, r *request) (*store.Encrypt, error) {
	wanted, err := f.wanted(r)
	if err != nil || wanted == nil {
		return nil, err
	}
	return f.encrypt(ctx, r, *wanted)
}

// wanted is what the request says of encryption or, where it says nothing, its bucket or the cluster. nil: nothing.
func (f *Front) wanted(r *request) (*store.Encryption, error) {
	config, err := f.bucketEncryption(r)
	if err != nil {
		return nil, err
	}
	if r.keys.customer != nil {
		if config != nil && config.Blocked == s3.BlockCustomer {
			return nil, s3.NewFault("target/front.wanted", s3.AccessDenied,
				"This bucket has blocked upload requests that specify Server Side Encryption with Customer provided keys (SSE-C). Please specify a different server-side encryption type")
		}
		return &store.Encryption{Mode: store.CustomerMode}, nil
	}
	asked := s3.Encryption{}
	if r.grant.Dialect == intra.S3 && r.call.SpeaksOfEncryption() {
		if asked, err = s3.ReadEncryption(r.call); err != nil {
			return nil, err
		}
	}
	bucketKey := config != nil && config.BucketKey
	if asked.BucketKey != nil {
		bucketKey = *asked.BucketKey
	}
	switch {
	case asked.Method != "":
	case config != nil && config.Method != "":
		asked.Method, asked.KeyID = config.Method, config.KeyID
	case clusterconfig.NewBucketEncryption.Get(f.o.Control.Applied().Setting) == s3.EncryptS3:
		asked.Method = s3.EncryptS3
	}
	switch asked.Method {
	case "":
		return nil, nil
	case s3.EncryptS3:
		return &store.Encryption{Mode: store.S3Mode}, nil
	}
	if asked.KeyID == "" {
		asked.KeyID = defaultKMSID
		if config != nil && config.Method == s3.EncryptKMS && config.KeyID != "" {
			asked.KeyID = config.KeyID
		}
	}
	return &store.Encryption{Mode: store.KMSMode, Key: asked.KeyID, Context: asked.Context, BucketKey: bucketKey}, nil
}

// bucketEncryption returns what the bucket says of the encryption of its objects, or nil.
func (f *Front) bucketEncryption(r *request) (*s3.BucketEncryption, error) {
	const op = "target/front.bucketEncryption"
	config, ok := f.o.Control.Applied().BucketConfig(r.bucket.ID, EncryptionKind)
	if !ok {
		return nil, nil
	}
	doc, err := config.Parsed(s3.DecodeBucketEncryption)
	if err != nil {
		return nil, cluster.E(op, r.bucket.Bucket.String(), cluster.KindOther, err)
	}
	return doc.(*s3.BucketEncryption), nil
}

// encrypt readies the encryption of bytes that the request's object is made of.
func (f *Front) encrypt(ctx context.Context, r *request, e store.Encryption) (*store.Encrypt, error) {
	var under []byte
	var number uint64
	if e.Mode == store.CustomerMode {
		under = r.keys.customer.Key
	} else {
		var err error
		if under, number, err = f.sealingKey(ctx, r, &e); err != nil {
			return nil, err
		}
	}
	keys := r.keys
	return &store.Encrypt{Encryption: e, Seal: func(key []byte, part int, size int64) []byte {
		return sse.Seal(under, number, key, keys.binding(&e, part, size))
	}}, nil
}

// sealingKey returns the newest version of the key that seals those of data. The two keys that nobody names are made when they
// are first needed.
func (f *Front) sealingKey(ctx context.Context, r *request, e *store.Encryption) (under []byte, number uint64, err error) {
	const op = "target/front.sealingKey"
	name := keyOf(e)
	for again := false; ; again = true {
		key, err := f.o.Control.Applied().EncryptionKey(name, 0)
		switch {
		case err == nil:
			return key.Key[:], key.Number, nil
		case !cluster.Is(err, cluster.KindNotFound):
			return nil, 0, err
		case name != s3Key && name != defaultKMSKey:
			return nil, 0, keyNotFound(op, e.Key)
		case again:
			return nil, 0, cluster.E(op, name, cluster.KindUnavailable, err)
		}
		if err := f.o.Control.AddEncryptionKey(ctx, r.grant.Request+"/key", name); err != nil && !cluster.Is(err, cluster.KindConflict) {
			return nil, 0, err
		}
	}
}

// uploadEncryption says how the parts of a new upload are to be encrypted; nil: they are not.
func (f *Front) uploadEncryption(ctx context.Context, r *request) (*store.Encryption, error) {
	with, err := f.encryption(ctx, r)
	if err != nil || with == nil {
		return nil, err
	}
	if with.Mode == store.CustomerMode {
		key := sse.NewKey()
		defer clear(key)
		with.Sealed = with.Seal(key, store.UnlockPart, 0)
	}
	return &with.Encryption, nil
}

// partEncryption says how a part is encrypted, given what its upload says.
func (f *Front) partEncryption(ctx context.Context, r *request) func(*store.Encryption) (*store.Encrypt, error) {
	const op = "target/front.partEncryption"
	return func(upload *store.Encryption) (*store.Encrypt, error) {
		customer := r.keys.customer != nil
		if customer != (upload != nil && upload.Mode == store.CustomerMode) {
			return nil, s3.NewFault(op, s3.InvalidRequest, uploadsEncrypted)
		}
		if upload == nil {
			return nil, nil
		}
		if customer {
			if err := r.keys.unlock(upload, s3.InvalidRequest, otherParameters); err != nil {
				return nil, err
			}
			if _, err := f.wanted(r); err != nil { // customers' keys may have been blocked meanwhile
				return nil, err
			}
		}
		e := *upload
		e.Sealed = nil
		return f.encrypt(ctx, r, e)
	}
}

// checkComplete refuses another kind of checksum than the upload has, and who may not complete it: a customer's key that comes with the request must be the right one, and
// it must come where checksums of the object are asked for.
func (r *request) checkComplete(upload *store.UploadInfo) error {
	const op = "target/front.checkComplete"
	if kind := r.call.Get("x-amz-checksum-type"); kind != "" && !strings.EqualFold(kind, s3.ChecksumKind(upload.Composite)) {
		return s3.NewFault(op, s3.InvalidRequest, "The upload was created using the "+s3.ChecksumKind(upload.Composite)+" checksum mode. The complete request must use the same checksum mode.")
	}
	e := upload.Encryption
	locked := e != nil && e.Mode == store.CustomerMode
	switch {
	case !locked && r.keys.customer != nil:
		return s3.NewFault(op, s3.InvalidRequest, notApplicable)
	case !locked:
		return nil
	case r.keys.customer != nil:
		return r.keys.unlock(e, s3.InvalidRequest, otherParameters)
	case len(upload.Want) > 0:
		return s3.NewFault(op, s3.InvalidArgument, "Requests specifying Server Side Encryption with Customer provided keys must provide a valid encryption algorithm.")
	}
	return nil
}

// setEncryption tells how an object, upload or part is encrypted.
func (r *request) setEncryption(e *store.Encryption) {
	if e == nil {
		return
	}
	switch e.Mode {
	case store.CustomerMode:
		if r.keys.customer != nil {
			r.rep.SetHeader(s3.HeaderCustomerAlgorithm, s3.EncryptS3)
			r.rep.SetHeader(s3.HeaderCustomerKeyMD5, r.keys.customer.MD5)
		}
		return
	case store.KMSMode:
		r.rep.SetHeader(s3.HeaderKMSKey, e.Key)
		if e.BucketKey {
			r.rep.SetHeader(s3.HeaderBucketKey, "true")
		}
	}
	r.rep.SetHeader(s3.HeaderEncryption, e.Mode)
}

// customerHeaders writes a customer's key as headers of a request to another node, sealed.
func (f *Front) customerHeaders(k *s3.CustomerKey) ([]string, error) {
	if k == nil {
		return nil, nil
	}
	sealed, err := f.o.Control.Seal(k.Key)
	if err != nil {
		return nil, err
	}
	return []string{
		s3.HeaderCustomerAlgorithm, s3.EncryptS3, s3.HeaderCustomerKey, base64.StdEncoding.EncodeToString(sealed), s3.HeaderCustomerKeyMD5, k.MD5,
	}, nil
}

// clearCustomer forgets a customer's key.
func clearCustomer(k *s3.CustomerKey) {
	if k != nil {
		clear(k.Key)
	}
}
