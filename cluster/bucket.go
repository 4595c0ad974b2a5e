package cluster

import (
	"fmt"
	"strings"
	"time"
)

// Provider says where a bucket's truth lives.
type Provider string

// The providers. AWS is also written "s3", GCP also "gs".
const (
	AIS Provider = "ais" // native: in this cluster
	AWS Provider = "aws"
	GCP Provider = "gcp"
)

var providerSchemes = map[string]Provider{
	"ais": AIS, "aws": AWS, "s3": AWS, "gcp": GCP, "gs": GCP,
}

// ParseProvider reads a provider or one of its aliases; the empty string is AIS.
func ParseProvider(s string) (Provider, error) {
	if s == "" {
		return AIS, nil
	}
	if p, ok := providerSchemes[strings.ToLower(s)]; ok {
		return p, nil
	}
	return "", fmt.Errorf("unknown provider %q", s)
}

// Bucket is the full name of a bucket. It is comparable and prints as provider://[#namespace/]name.
type Bucket struct {
	Provider  Provider   `json:"provider"`
	Namespace string     `json:"namespace,omitempty"` // empty is the global one; else as AIStore: "@uuid#name"
	Name      BucketName `json:"name"`
}

// Native returns the bucket of that name in this cluster's global namespace.
func Native(name BucketName) Bucket { return Bucket{Provider: AIS, Name: name} }

// String returns the address of the bucket as users type it.
func (b Bucket) String() string {
	s := string(b.Provider) + "://"
	if b.Namespace != "" {
		s += b.Namespace + "/"
	}
	return s + string(b.Name)
}

// Object returns the address of an object in b.
func (b Bucket) Object(key ObjectKey) string { return b.String() + "/" + string(key) }

// ParseAddress reads provider://[@uuid][#namespace/]name[/key]; without a scheme the provider is AIS. It does not
// validate the bucket's name.
func ParseAddress(s string) (Bucket, ObjectKey, error) {
	provider, rest, found := strings.Cut(s, "://")
	if !found {
		provider, rest = "", s
	}
	p, err := ParseProvider(provider)
	if err != nil {
		return Bucket{}, "", err
	}
	b := Bucket{Provider: p}
	if strings.HasPrefix(rest, "@") || strings.HasPrefix(rest, "#") {
		b.Namespace, rest, _ = strings.Cut(rest, "/")
	}
	name, key, _ := strings.Cut(rest, "/")
	b.Name = BucketName(name)
	return b, ObjectKey(key), nil
}

// reservedNames would collide with the paths of the console, the S3 prefix and the native API.
var reservedNames = map[BucketName]bool{"-": true, "s3": true, "v1": true}

// ValidateBucketName applies the rules of S3 for general purpose buckets (AWS: "Bucket naming rules"), and reserves the
// names that Aisle's own paths need.
func ValidateBucketName(name BucketName) error {
	s := string(name)
	switch {
	case len(s) < MinBucketLength || len(s) > MaxBucketLength:
		return fmt.Errorf("bucket name %q must have %d to %d characters", s, MinBucketLength, MaxBucketLength)
	case reservedNames[name]:
		return fmt.Errorf("bucket name %q is reserved", s)
	case strings.Contains(s, ".."):
		return fmt.Errorf("bucket name %q has two adjacent periods", s)
	case looksLikeIPv4(s):
		return fmt.Errorf("bucket name %q has the form of an IP address", s)
	}
	for _, bad := range []string{"xn--", "sthree-", "amzn-s3-demo-"} {
		if strings.HasPrefix(s, bad) {
			return fmt.Errorf("bucket name %q has the reserved prefix %q", s, bad)
		}
	}
	for _, bad := range []string{"-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"} {
		if strings.HasSuffix(s, bad) {
			return fmt.Errorf("bucket name %q has the reserved suffix %q", s, bad)
		}
	}
	for i := range len(s) {
		c := s[i]
		alphanumeric := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !alphanumeric && c != '-' && c != '.' {
			return fmt.Errorf("bucket name %q may hold only a-z, 0-9, '-' and '.'", s)
		}
		if !alphanumeric && (i == 0 || i == len(s)-1) {
			return fmt.Errorf("bucket name %q must begin and end with a letter or digit", s)
		}
	}
	return nil
}

// ValidateNewBucketName is ValidateBucketName for a bucket that is to be made: what stands between periods begins and ends with a letter
// or digit, or the bucket could not be a host.
func ValidateNewBucketName(name BucketName) error {
	if s := string(name); strings.Contains(s, ".-") || strings.Contains(s, "-.") {
		return fmt.Errorf("bucket name %q has a period beside a hyphen", s)
	}
	return ValidateBucketName(name)
}

func looksLikeIPv4(s string) bool {
	parts := strings.Split(s, ".")
	if len(parts) != 4 {
		return false
	}
	for _, p := range parts {
		if p == "" || strings.Trim(p, "0123456789") != "" {
			return false
		}
	}
	return true
}

// ChecksumType names the checksum that a bucket's objects carry.
type ChecksumType string

// The checksum types a bucket can have. Those of S3's x-amz-checksum-* headers are stored beside, when a client asks.
const (
	ChecksumNone      ChecksumType = "none"
	ChecksumMD5       ChecksumType = "md5"
	ChecksumXXHash    ChecksumType = "xxhash" // 64-bit xxHash of AIStore (seed 1103515245)
	ChecksumXXH3      ChecksumType = "xxh3"
	ChecksumCRC32     ChecksumType = "crc32"
	ChecksumCRC32C    ChecksumType = "crc32c"
	ChecksumCRC64NVME ChecksumType = "crc64nvme"
	ChecksumSHA1      ChecksumType = "sha1"
	ChecksumSHA256    ChecksumType = "sha256"
	ChecksumSHA512    ChecksumType = "sha512"
)

// ChecksumTypes lists every type, in the order in which they are documented.
var ChecksumTypes = []ChecksumType{
	ChecksumNone, ChecksumMD5, ChecksumXXHash, ChecksumXXH3, ChecksumCRC32, ChecksumCRC32C, ChecksumCRC64NVME,
	ChecksumSHA1, ChecksumSHA256, ChecksumSHA512,
}

// ParseChecksumType reads the name of a checksum type.
func ParseChecksumType(s string) (ChecksumType, error) {
	for _, t := range ChecksumTypes {
		if string(t) == s {
			return t, nil
		}
	}
	return "", fmt.Errorf("unknown checksum type %q", s)
}

// Versioning says whether a bucket keeps what is replaced and deleted.
type Versioning string

// What a bucket does with versions. Once it had them it can only suspend them.
const (
	VersioningOff       Versioning = ""          // it never had versions: there is one object at a key, or none
	VersioningEnabled   Versioning = "enabled"   // every write makes a version, every delete a marker
	VersioningSuspended Versioning = "suspended" // writes replace the null version only
)

// BucketProps are the properties of a bucket that its owner can set.
type BucketProps struct {
	Checksum ChecksumType `json:"checksum.type"`
	Replicas int          `json:"replicas"` // copies of each object, on as many targets; zero, while it is being made, leaves it to the cluster
	// Data and Parity are the shards of each object, in place of copies; zero for none.
	Data   int `json:"ec_data,omitempty"`
	Parity int `json:"ec_parity,omitempty"`
	// Mirror is on how many mountpaths each target keeps what it has of an object; zero: on one.
	Mirror int `json:"mirror,omitempty"`
	// Redirect says who is sent to the owner of an object: "auto", "always" or "never"; empty is what the cluster's setting says.
	Redirect string `json:"redirect,omitempty"`
	// MinCopies is on how many targets a write must be durable before it is acknowledged; zero: see LeastCopies.
	MinCopies  int        `json:"min_copies,omitempty"`
	Versioning Versioning `json:"versioning,omitempty"`
	Lock       BucketLock `json:"object_lock,omitzero"`
}

// Layout returns how the bucket's objects are to be kept.
func (p BucketProps) Layout() Layout {
	if p.Data > 0 {
		return Layout{Data: p.Data, Parity: p.Parity}
	}
	return Layout{Copies: max(p.Replicas, 1), Mirror: p.Mirror}
}

// Validate reports properties that contradict each other.
func (p BucketProps) Validate() error {
	layout := p.Layout()
	switch {
	case p.Data > 0 && p.Replicas > 0:
		return fmt.Errorf("a bucket keeps replicas or shards (ec), not both")
	case p.Data > 0 && p.Mirror > 0:
		return fmt.Errorf("a bucket keeps shards (ec) or mirrors, not both")
	case p.Mirror != 0 && layout.Validate() != nil:
		return fmt.Errorf("mirror.copies is 1 to %d", MaxMirror)
	case (p.Data > 0 || p.Replicas > 0) && p.MinCopies > layout.Width():
		return fmt.Errorf("min_copies is %d, and the bucket keeps %s of each object", p.MinCopies, layout)
	case p.MinCopies > 0 && p.MinCopies < p.Data:
		return fmt.Errorf("min_copies is %d, and %d shards are needed to read an object", p.MinCopies, p.Data)
	}
	return p.Lock.validate(p.Versioning)
}

// LeastCopies returns on how many targets a write must be durable before it is acknowledged: one more than are needed to read
// it, where the bucket keeps as many, unless MinCopies says otherwise.
func (p BucketProps) LeastCopies() int {
	if p.MinCopies > 0 {
		return p.MinCopies
	}
	layout := p.Layout()
	return min(layout.Needed()+1, layout.Width())
}

// BucketState says whether a bucket takes requests.
type BucketState uint8

const (
	BucketActive   BucketState = iota
	BucketDeleting             // targets refuse writes and prove it empty; then it is removed or active again
	BucketFreezing             // targets refuse everything until the writes in flight have ended; then it has another id
)

// String returns "active", "deleting" or "freezing".
func (s BucketState) String() string {
	switch s {
	case BucketDeleting:
		return "deleting"
	case BucketFreezing:
		return "freezing"
	}
	return "active"
}

// BucketEntry is one row of the bucket table (AIStore: BMD).
type BucketEntry struct {
	ID      BucketID    `json:"id"`
	Bucket  Bucket      `json:"bucket"`
	Props   BucketProps `json:"props"`
	Created time.Time   `json:"created"`
	Creator AccessKeyID `json:"creator"`
	State   BucketState `json:"state"`
	Owner   UserName    `json:"owner,omitempty"` // who made it by then, unless it was the root key or a role
	// OwnerID is the id of who made it, which no other user or role ever has; none of buckets that earlier versions made.
	OwnerID string `json:"owner_id,omitempty"`
	// Under is the id that the bucket had before its layout was changed, while there may be objects that have not been moved
	// from there; zero: none. Nothing is ever written under that id again.
	Under BucketID `json:"under,omitempty"`
}

// Frozen returns the entry of the id under the bucket, for reading what is there.
func (e BucketEntry) Frozen() BucketEntry {
	e.ID, e.Under = e.Under, 0
	return e
}
